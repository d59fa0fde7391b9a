"""Log-binned descriptors: a patch together with its surroundings at growing distance.

Amir et al. 2021, section 3.3. Level 0 is the map itself, seen through the 3x3 patches around
a patch (9 bins). Level k >= 1 is the map averaged over 3^k x 3^k patches, seen through the 8
neighbours at distance 3^k. Hierarchy L has the levels 0..L-1 and 1 + 8L bins.

Every bin is a shifted view of one of L maps, so the dot product of two binned descriptors is a
sum of shifted products of plain ones: `similarity.binned_cosine_blocks` never builds the bins.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from tasks.ops import gpu_bins

Array = TypeVar("Array", np.ndarray, Tensor)


class Bin(NamedTuple):
    """One bin: the map of `level`, seen (drow, dcol) patches away."""

    level: int
    drow: int
    dcol: int


def bins(hierarchy: int) -> list[Bin]:
    """The 1 + 8 `hierarchy` bins in the order of the descriptor's blocks of D channels.

    Raises:
        ValueError: `hierarchy` below 1.
    """
    if hierarchy < 1:
        raise ValueError(f"hierarchy must be at least 1 (the 3x3 neighbours); got {hierarchy}")
    steps = [(row, col) for row in (-1, 0, 1) for col in (-1, 0, 1)]
    return [
        Bin(level, row * 3**level, col * 3**level)
        for level in range(hierarchy)
        for row, col in steps
        if level == 0 or (row, col) != (0, 0)
    ]


def pooled_levels(maps: Tensor, hierarchy: int) -> list[Tensor]:
    """The maps of levels 0..hierarchy-1, each of the shape of `maps` (..., rows, cols, D).

    Level k holds means over the 3^k x 3^k patches around a patch that lie inside the grid.
    Half-precision maps are averaged in float32 and come out as float32, level 0 as it was.
    """
    if maps.ndim < 3:
        raise ValueError(f"expected maps (..., rows, cols, D); got shape {tuple(maps.shape)}")
    return list(_levels(maps, len(bins(hierarchy)) // 8))


def log_bin(maps: Array, hierarchy: int = 2) -> Array:
    """Concatenate the bins of every patch; positions outside the grid clamp to its border.

    Args:
        maps: (rows, cols, D) or (B, rows, cols, D), real.
        hierarchy: number of levels L.

    Returns:
        (..., rows, cols, (1 + 8L) D), bin by bin in the order of `bins`, not normalised;
        float32 for half-precision input, else the input's dtype.

    Raises:
        ValueError: fewer than three axes, or `hierarchy` below 1.
    """
    if isinstance(maps, np.ndarray):
        return log_bin(torch.from_numpy(maps), hierarchy).numpy()
    if maps.ndim >= 3 and gpu_bins.available(maps) and maps.dtype != torch.float64:
        return _log_bin_on_gpu(maps, hierarchy)
    levels = pooled_levels(maps, hierarchy)
    rows, cols = maps.shape[-3:-1]
    dtype = levels[-1].dtype if hierarchy > 1 else _working_dtype(maps)
    views = [
        levels[level]
        .to(dtype)
        .index_select(-3, clamped(rows, drow, maps.device))
        .index_select(-2, clamped(cols, dcol, maps.device))
        for level, drow, dcol in bins(hierarchy)
    ]
    return torch.cat(views, dim=-1)


def _log_bin_on_gpu(maps: Tensor, hierarchy: int) -> Tensor:
    blocks = len(bins(hierarchy))
    stacked = maps.reshape(-1, *maps.shape[-3:])
    out = torch.empty(
        (*stacked.shape[:-1], blocks * maps.shape[-1]), dtype=torch.float32, device=maps.device
    )
    gpu_bins.spread(stacked, out, 0, 1, centre=True)
    for level in range(1, hierarchy):
        pooled = gpu_bins.pooled(stacked, 3**level)
        gpu_bins.spread(pooled, out, 1 + 8 * level, 3**level, centre=False)
    return out.reshape(*maps.shape[:-1], -1)


def bins_at(levels: Sequence[Tensor], row_col: Tensor) -> list[Tensor]:
    """Log-binned descriptors at any positions of the grid, bilinear between patches.

    Args:
        levels: of `pooled_levels`, each (rows, cols, D).
        row_col: (P, 2) fractional grid positions; outside they clamp to the border.

    Returns:
        For each level its bins, (P, bins of the level, D) float32, in the order of `bins`.
    """
    rows, cols = levels[0].shape[:2]
    row, col = row_col[:, 0].clamp(0, rows - 1), row_col[:, 1].clamp(0, cols - 1)
    top, left = row.floor().long(), col.floor().long()
    down, right = (row - top)[:, None], (col - left)[:, None]
    corners = [
        (top, left, (1 - down) * (1 - right)),
        (top, left + 1, (1 - down) * right),
        (top + 1, left, down * (1 - right)),
        (top + 1, left + 1, down * right),
    ]
    found: list[list[Tensor]] = [[] for _ in levels]
    for level, drow, dcol in bins(len(levels)):
        sampled = [
            # A corner beyond the last patch has weight 0: clamp it before it is shifted.
            levels[level][
                (r.clamp(max=rows - 1) + drow).clamp(0, rows - 1),
                (c.clamp(max=cols - 1) + dcol).clamp(0, cols - 1),
            ].float()
            * weight
            for r, c, weight in corners
        ]
        found[level].append(torch.stack(sampled).sum(dim=0))
    return [torch.stack(views, dim=1) for views in found]


def clamped(length: int, shift: int, device: torch.device | str = "cpu") -> Tensor:
    """Indices 0..length-1 moved by `shift` and clamped to the same range, (length,) int64."""
    return (torch.arange(length, device=device) + shift).clamp(0, length - 1)


def _levels(maps: Tensor, hierarchy: int) -> Iterator[Tensor]:
    yield maps
    values = maps.to(_working_dtype(maps))
    rows, cols = maps.shape[-3:-1]
    for level in range(1, hierarchy):
        # A mean over a box cut by the border is still a mean of row means, and a product with a
        # matrix of ones and zeros is many times faster than a pooling of so many channels.
        near_rows, near_cols = (_near(side, 3**level, values) for side in (rows, cols))
        sums = torch.matmul(near_cols, torch.matmul(near_rows, values.flatten(-2)).view_as(values))
        yield sums / (near_rows.sum(dim=1)[:, None, None] * near_cols.sum(dim=1)[:, None])


def _near(length: int, side: int, like: Tensor) -> Tensor:
    """(length, length): row i is 1 at the at most `side` places around i, else 0."""
    places = torch.arange(length, device=like.device)
    return ((places[:, None] - places).abs() <= side // 2).to(like.dtype)


def _working_dtype(maps: Tensor) -> torch.dtype:
    return torch.float32 if maps.dtype in (torch.float16, torch.bfloat16) else maps.dtype
