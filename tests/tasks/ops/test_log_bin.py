"""Log-bins against hand-made numbers, a literal loop over the definition, and the golden file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tasks.ops.log_bin import Bin, bins, log_bin, pooled_levels


def literal(maps: np.ndarray, hierarchy: int) -> np.ndarray:
    """Section 3.3 of Amir et al. 2021, patch by patch and bin by bin."""
    rows, cols, channels = maps.shape
    out = np.empty((rows, cols, 1 + 8 * hierarchy, channels))
    for row in range(rows):
        for col in range(cols):
            index = 0
            for level in range(hierarchy):
                for drow in (-1, 0, 1):
                    for dcol in (-1, 0, 1):
                        if level and drow == dcol == 0:
                            continue
                        r = min(max(row + drow * 3**level, 0), rows - 1)
                        c = min(max(col + dcol * 3**level, 0), cols - 1)
                        reach = 3**level // 2
                        box = maps[
                            max(r - reach, 0) : r + reach + 1, max(c - reach, 0) : c + reach + 1
                        ]
                        out[row, col, index] = box.reshape(-1, channels).mean(axis=0)
                        index += 1
    return out.reshape(rows, cols, -1)


def test_order_of_the_bins() -> None:
    assert bins(1)[:3] == [Bin(0, -1, -1), Bin(0, -1, 0), Bin(0, -1, 1)]
    assert bins(1)[4] == Bin(0, 0, 0)
    assert bins(2)[9:] == [
        Bin(1, -3, -3), Bin(1, -3, 0), Bin(1, -3, 3), Bin(1, 0, -3),
        Bin(1, 0, 3), Bin(1, 3, -3), Bin(1, 3, 0), Bin(1, 3, 3),
    ]  # fmt: skip
    assert [len(bins(n)) for n in (1, 2, 3)] == [9, 17, 25]


def test_a_ramp_by_hand() -> None:
    ramp = np.arange(5.0)[None, :, None]  # one row: 0 1 2 3 4
    binned = log_bin(ramp, 2)[0]
    assert_array_equal(binned[2, :9], [1, 2, 3] * 3)
    # Level 1 of a ramp is 0.5 1 2 3 3.5; from column 1, three to the left clamps to 0.
    assert_array_equal(binned[1, 9:], [0.5, 1, 3.5, 0.5, 3.5, 0.5, 1, 3.5])


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 3), st.integers(0, 99))
def test_equals_the_literal_definition(rows: int, cols: int, hierarchy: int, seed: int) -> None:
    maps = np.random.default_rng(seed).normal(size=(rows, cols, 3))
    assert_allclose(log_bin(maps, hierarchy), literal(maps, hierarchy), atol=1e-12)


def test_a_batch_gives_what_its_images_give_and_tensors_what_arrays_give() -> None:
    maps = np.random.default_rng(0).normal(size=(3, 6, 4, 5)).astype(np.float32)
    batch = log_bin(torch.from_numpy(maps), 3)
    assert batch.shape == (3, 6, 4, 25 * 5)
    for image, binned in zip(maps, batch, strict=True):
        assert_allclose(log_bin(image, 3), binned.numpy(), atol=1e-6)


def test_half_precision_is_averaged_in_float32() -> None:
    maps = np.full((9, 9, 2), 60000, np.float16)  # nine of these overflow float16
    assert_array_equal(log_bin(maps, 2), np.full((9, 9, 34), 60000, np.float32))


def test_a_constant_map_stays_constant_at_every_level() -> None:
    for level in pooled_levels(torch.full((4, 7, 2), 2.5), 3):
        assert_array_equal(level.numpy(), 2.5)


def test_errors_say_what_was_expected() -> None:
    with pytest.raises(ValueError, match="hierarchy must be at least 1"):
        log_bin(np.zeros((2, 2, 2)), 0)
    with pytest.raises(ValueError, match=r"expected maps \(..., rows, cols, D\); got shape \(4, 2"):
        log_bin(np.zeros((4, 2)), 1)


@pytest.mark.data
def test_agrees_with_the_original(golden: Path) -> None:
    with np.load(golden / "log_bin.npz") as numbers:
        cases = sorted({name.split("/")[0] for name in numbers})
        for case in cases:
            maps = numbers[f"{case}/descriptors"].reshape(*numbers[f"{case}/grid"], -1)
            for hierarchy in (1, 2, 3):
                expected = numbers[f"{case}/hierarchy{hierarchy}"]
                ours = log_bin(maps, hierarchy).reshape(expected.shape)
                assert_allclose(ours, expected, atol=1e-4)
