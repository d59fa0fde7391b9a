"""Kernels for Hopper GPUs (H100, H200): attention, and normalising a shifted residual.

Both are Triton programs (`hopper_kernels.py`); where there is no Triton or another GPU,
`attention.py` and `vit_fused.py` use PyTorch's own. With 64 channels a head the exponentials of
a softmax cost as much as its products, so that the kernel for attention saves what it can around
them: see `attend` there. 3,025 patches of ViT-S take 28 us an image and layer on an H100 (507
TFLOP/s), cuDNN 37, PyTorch's FlashAttention 48, FlashAttention 3 28
(tests/benchmarks/RESULTS.md).
"""

import functools
import importlib
import importlib.util
from typing import Any

import torch
from torch import Tensor

HEAD_DIM = 64
_ROWS, _COLS, _STAGES, _WARPS = 128, 64, 4, 8
# Beyond this the sum of a row's exponentials says that its anchor was far too low.
_SANE = 2.0**64
_LOG2_E = 1.4426950408889634


@functools.cache
def is_hopper(device: torch.device) -> bool:
    """Whether `device` is a GPU that these kernels were made for."""
    if device.type != "cuda" or importlib.util.find_spec("triton") is None:
        return False
    return torch.cuda.get_device_capability(device)[0] == 9


@functools.cache
def _kernels() -> Any:
    """Triton takes 80 MB, which only a GPU has a use for: it is imported when it is used."""
    return importlib.import_module("tasks.ops.hopper_kernels")


def fits_attention(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Whether `attention` takes these: bfloat16, 64 channels a head, whole tiles of memory."""
    aligned = all(
        t.stride(-1) == 1 and t.data_ptr() % 16 == 0 and all(s % 8 == 0 for s in t.stride()[:-1])
        for t in (query, key, value)
    )
    return (
        aligned
        and query.dtype == torch.bfloat16
        and query.shape[-1] == HEAD_DIM
        and query.shape[:2] == key.shape[:2]
        and query.shape[0] * query.shape[1] < 65_536
    )


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(query key' / sqrt(d)) value, exact, without its matrix.

    Args:
        query: (B, h, n, 64) bfloat16 of any strides, see `fits_attention`.
        key, value: (B, h, m, 64) likewise.

    Returns:
        (B, h, n, 64), laid out as (B, n, h, 64).
    """
    batch, heads, count, dim = query.shape
    length = key.shape[2]
    out = torch.empty(batch, count, heads, dim, dtype=query.dtype, device=query.device)
    kernels = _kernels()
    tiles = [
        kernels.TensorDescriptor(t, list(t.shape), list(t.stride()), [1, 1, rows, dim])
        for t, rows in ((query, _ROWS), (key, _COLS), (value, _COLS))
    ]
    grid = -(-count // _ROWS), batch * heads
    redo = torch.empty(grid, dtype=torch.int8, device=query.device)
    with torch.cuda.device(query.device):
        for again in (False, True):
            kernels.attend[grid](
                *tiles,
                out,
                redo,
                count,
                length,
                heads,
                _LOG2_E / dim**0.5,
                tile=_ROWS,
                step=_COLS,
                width=dim,
                stages=_STAGES,
                sane=_SANE,
                again=again,
                num_warps=_WARPS,
                num_stages=_STAGES,
            )
    return out.transpose(1, 2)


def shifted_norm(tokens: Tensor, shift: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Layer norm of tokens (n, D) + shift (D,) in one pass over memory; float32 inside."""
    count, channels = tokens.shape
    out = torch.empty_like(tokens)
    with torch.cuda.device(tokens.device):
        _kernels().norm[(-(-count // 4),)](
            tokens,
            shift,
            weight,
            bias,
            out,
            count,
            channels,
            eps,
            tile=4,
            block=1 << (channels - 1).bit_length(),
            num_warps=1 if channels <= 512 else 4,
        )
    return out
