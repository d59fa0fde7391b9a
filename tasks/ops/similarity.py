"""Cosines of every patch of one image with every patch of another, a block at a time.

Blocks of whole source rows bound the memory whatever the resolution. For log-binned
descriptors the bins are never built. With L pooled maps per image and R_k the plain product
of the two maps of level k,

    <bin(p), bin(q)> = sum over levels k and offsets o of R_k[p + o, q + o]

where both p + o and q + o clamp to their grids. The 3 x 3 offsets are separable: shifted
products are summed along the columns of both grids, then along the rows, which makes 6
additions a level of 9.

Products run in float32 whatever the descriptors are stored in: rounded to half precision, the
nearest of near-equal neighbours changes.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tasks.ops.log_bin import bins, bins_at, clamped, pooled_levels

MEMORY = 256 * 2**20


class Block(NamedTuple):
    """Cosines (n, M) float32 of source patches start..start+n-1 with all M target patches."""

    start: int
    values: Tensor


def cosine_blocks(source: Tensor, target: Tensor, *, memory: int = MEMORY) -> Iterator[Block]:
    """Cosines of plain descriptors.

    Args:
        source: (N, D). target: (M, D), on the same device, any float dtype.
        memory: bytes that one block may take, at least one source patch.

    Raises:
        ValueError: different D.
    """
    _check_channels(source, target)
    unit_target = F.normalize(target.float(), dim=-1).T
    step = max(1, memory // (4 * max(len(target), 1)))
    for start in range(0, len(source), step):
        rows = F.normalize(source[start : start + step].float(), dim=-1)
        yield Block(start, rows @ unit_target)


def binned_cosine_blocks(
    source: Tensor, target: Tensor, hierarchy: int, *, memory: int = MEMORY
) -> Iterator[Block]:
    """Cosines of log-binned descriptors, which are never built.

    Args:
        source: (rows, cols, D). target: (rows', cols', D), on the same device.
        hierarchy: levels of the bins.
        memory: bytes that the working arrays of one block may take, at least one row.

    Raises:
        ValueError: different D, or `hierarchy` below 1.
    """
    _check_channels(source, target)
    pairs = [
        (a.float(), b.float())
        for a, b in zip(
            pooled_levels(source, hierarchy), pooled_levels(target, hierarchy), strict=True
        )
    ]
    inverse_source = binned_norms([a for a, _ in pairs]).flatten().reciprocal()
    inverse_target = binned_norms([b for _, b in pairs]).flatten().reciprocal()
    rows, cols = source.shape[:2]
    row_bytes = 4 * cols * target.shape[0] * target.shape[1]
    # A block of t rows holds the sum (t), and at most 3t rows of products and of their sums.
    step = max(1, memory // (7 * row_bytes)) if memory < 4 * rows * row_bytes else rows
    for first in range(0, rows, step):
        last = min(first + step, rows)
        total = source.new_zeros((last - first, cols, *target.shape[:2]), dtype=torch.float32)
        for level, (a, b) in enumerate(pairs):
            _add_level(total, a, b, level, first)
        span = slice(first * cols, last * cols)
        values = total.reshape(-1, inverse_target.numel())
        yield Block(span.start, values.mul_(inverse_source[span, None]).mul_(inverse_target))


def patch_blocks(
    source: Tensor, target: Tensor, hierarchy: int, *, memory: int = MEMORY
) -> Iterator[Block]:
    """Blocks for maps (rows, cols, D): log-binned, or plain where `hierarchy` is 0."""
    if hierarchy:
        return binned_cosine_blocks(source, target, hierarchy, memory=memory)
    return cosine_blocks(source.flatten(0, 1), target.flatten(0, 1), memory=memory)


def point_maps(source: Tensor, target: Tensor, row_col: Tensor, hierarchy: int) -> Tensor:
    """Cosines of the descriptors at any source positions with all target patches.

    Args:
        source: (rows, cols, D). target: (rows', cols', D), on the same device.
        row_col: (P, 2) fractional source grid positions; descriptors are bilinear between
            patches. hierarchy: levels of the log-bins, 0 for plain descriptors.

    Returns:
        (P, rows', cols') float32.

    Raises:
        ValueError: different D, or a negative hierarchy.
    """
    _check_channels(source, target)
    if not hierarchy:
        (around,) = bins_at([source], row_col)
        points = F.normalize(around[:, 4], dim=-1)  # the centre of the 3x3 bins
        return torch.einsum("pd,rcd->prc", points, F.normalize(target.float(), dim=-1))
    levels = [level.float() for level in pooled_levels(target, hierarchy)]
    points_of = bins_at(pooled_levels(source, hierarchy), row_col)
    total = torch.zeros((len(row_col), *target.shape[:2]), device=target.device)
    offsets = bins(hierarchy)
    for level, (points, maps) in enumerate(zip(points_of, levels, strict=True)):
        products = torch.einsum("pbd,rcd->bprc", points, maps)
        for product, (_, drow, dcol) in zip(
            products, (o for o in offsets if o.level == level), strict=True
        ):
            shifted = product.index_select(1, clamped(target.shape[0], drow, target.device))
            total += shifted.index_select(2, clamped(target.shape[1], dcol, target.device))
    norms = torch.cat(points_of, dim=1).flatten(1).norm(dim=-1).clamp_min(1e-12)
    return total / (norms[:, None, None] * binned_norms(levels))


def binned_norms(levels: list[Tensor]) -> Tensor:
    """Norms (rows, cols) float32 of the log-binned descriptors of `pooled_levels`."""
    squares = [level.float().square().sum(-1) for level in levels]
    rows, cols = squares[0].shape
    device = squares[0].device
    total = torch.zeros_like(squares[0])
    for level, drow, dcol in bins(len(levels)):
        shifted = squares[level].index_select(0, clamped(rows, drow, device))
        total += shifted.index_select(1, clamped(cols, dcol, device))
    return total.sqrt_().clamp_min_(1e-12)


def _add_level(total: Tensor, a: Tensor, b: Tensor, level: int, first: int) -> None:
    """Add level's products to `total` (t, cols, rows', cols'), source rows from `first`."""
    rows, reach = a.shape[0], 3**level
    block = torch.arange(first, first + total.shape[0], device=a.device)
    shifts = (-reach, 0, reach)
    seen = [(block + shift).clamp(0, rows - 1) for shift in shifts]
    needed = torch.unique(torch.cat(seen))
    products = (a[needed].flatten(0, 1) @ b.flatten(0, 1).T).view(len(needed), *total.shape[1:])
    along_cols = products.clone()
    for shift in (-reach, reach):
        _add_shifted(along_cols, products, shift, (1, 3))
    for shift, wanted in zip(shifts, seen, strict=True):
        _add_shifted(total, along_cols[torch.searchsorted(needed, wanted)], shift, (2,))
    if level:
        total -= products[torch.searchsorted(needed, block)]


def _add_shifted(total: Tensor, part: Tensor, shift: int, dims: tuple[int, ...]) -> None:
    """total[.. i ..] += part[.. clamp(i + shift) ..] along every axis of `dims`."""
    if not dims:
        total += part
        return
    dim, rest = dims[0], dims[1:]
    length = total.shape[dim]
    kept = max(length - abs(shift), 0)
    border = length - kept
    inner, outer = (0, kept) if shift >= 0 else (border, 0)
    if kept:
        moved = part.narrow(dim, border if shift >= 0 else 0, kept)
        _add_shifted(total.narrow(dim, inner, kept), moved, shift, rest)
    if border:
        edge = part.narrow(dim, length - 1 if shift >= 0 else 0, 1)
        _add_shifted(total.narrow(dim, outer, border), edge, shift, rest)


def _check_channels(source: Tensor, target: Tensor) -> None:
    if source.shape[-1] != target.shape[-1]:
        raise ValueError(
            f"descriptors must have equally many channels; got {tuple(source.shape)} and "
            f"{tuple(target.shape)}"
        )
