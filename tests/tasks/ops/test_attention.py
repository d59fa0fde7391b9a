"""Attention against the formula in float64."""

import pytest
import torch
from torch import Tensor

from tasks.ops import attention as module
from tasks.ops.attention import attention


def exact(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    query, key, value = query.double(), key.double(), value.double()
    logits = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    return logits.softmax(dim=-1) @ value


def parts(count: int, length: int, dim: int = 64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    shapes = [(2, n, 3, dim) for n in (count, length, length)]
    return [torch.randn(shape, generator=generator).transpose(1, 2) for shape in shapes]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("count", "length", "dim"), [(7, 7, 64), (33, 20, 64), (20, 33, 16)])
def test_it_is_the_formula(
    dtype: torch.dtype, count: int, length: int, dim: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BLOCK", 8 * length)  # blocks of 8 queries
    query, key, value = (part.to(dtype) for part in parts(count, length, dim))
    found = attention(query, key, value)
    assert found.shape == query.shape
    expected = exact(query, key, value)
    error = (found.double() - expected).norm() / expected.norm()
    assert error < (1e-6 if dtype == torch.float32 else 0.01)


def test_what_all_keys_have_in_common_costs_no_accuracy() -> None:
    # Keys of real models share a large mean: logits of 300 whose differences decide.
    query, key, value = parts(50, 50)
    query, key = query + 5, key + 8
    query, key, value = (part.bfloat16() for part in (query, key, value))
    expected = exact(query, key, value)
    error = (attention(query, key, value).double() - expected).norm() / expected.norm()
    assert error < 0.02
