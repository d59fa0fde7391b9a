"""Cosines of every patch of one image with every patch of another, a block at a time.

Blocks of whole source rows bound the memory whatever the resolution. For log-binned
descriptors the bins are never built. With L pooled maps per image and R_k the plain product
of the two maps of level k,

    <bin(p), bin(q)> = sum over levels k and offsets o of R_k[p + o, q + o]

where both p + o and q + o clamp to their grids. The 3 x 3 offsets are separable: shifted
products are summed along the columns of both grids, then along the rows, which makes 6
additions a level of 9.

The source with its columns in reverse has the same products R_k, only their columns turn: both
ways round cost one set of products.

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
# Binned blocks of more rows gain nothing: their working arrays leave the processor's caches.
_ROWS, _CACHED = 8, 32 * 2**20


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
    for (block,) in _binned_blocks(source, target, hierarchy, (False,), memory):
        yield block


def both_ways_round(
    source: Tensor, target: Tensor, hierarchy: int, *, memory: int = MEMORY
) -> Iterator[tuple[Block, ...]]:
    """Blocks of `source` as it is, each with that of `source.flip(1)`: columns in reverse.

    Args, raises: of `patch_blocks`.
    """
    if hierarchy:
        yield from _binned_blocks(source, target, hierarchy, (False, True), memory)
        return
    rows, cols = source.shape[:2]
    step = max(1, memory // (8 * cols * max(target[..., 0].numel(), 1)))
    for first in range(0, rows, step):
        part = source[first : first + step]
        (whole,) = cosine_blocks(part.flatten(0, 1), target.flatten(0, 1), memory=2**62)
        turned = whole.values.view(len(part), cols, -1).flip(1).flatten(0, 1)
        yield Block(first * cols, whole.values), Block(first * cols, turned)


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


def inner_products(maps: Tensor, patches: Tensor, hierarchy: int) -> Tensor:
    """Inner products of the descriptors of some patches of one image among themselves.

    Args:
        maps: (rows, cols, D). patches: (P,) int64, row by row.
        hierarchy: levels of the log-bins, which are never built; 0 for plain descriptors.

    Returns:
        (P, P) float32, descriptors as they are, not of unit length.
    """
    rows, cols = maps.shape[:2]
    levels = [level.float() for level in (pooled_levels(maps, hierarchy) if hierarchy else [maps])]
    if hierarchy and len(bins(hierarchy)) * len(patches) ** 2 > 2 * (rows * cols) ** 2:
        # Of so many patches, one product of all is less work than one for every bin.
        whole = torch.zeros((rows, cols, rows, cols), device=maps.device)
        for level, pooled in enumerate(levels):
            flat = pooled.flatten(0, 1)
            _add_level(whole, (flat @ flat.T).view(whole.shape), level, 0, rows)
        return whole.view(rows * cols, -1)[patches][:, patches]
    total = torch.zeros((len(patches),) * 2, device=maps.device)
    row, col = patches // cols, patches % cols
    for level, drow, dcol in bins(hierarchy) if hierarchy else [(0, 0, 0)]:
        seen = levels[level][(row + drow).clamp(0, rows - 1), (col + dcol).clamp(0, cols - 1)]
        total.addmm_(seen, seen.T)
    return total


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


def _binned_blocks(
    source: Tensor, target: Tensor, hierarchy: int, ways: tuple[bool, ...], memory: int
) -> Iterator[tuple[Block, ...]]:
    """Blocks of whole source rows, one for each way: True is the source's columns in reverse."""
    _check_channels(source, target)
    pairs = [
        (a.float(), b.float())
        for a, b in zip(
            pooled_levels(source, hierarchy), pooled_levels(target, hierarchy), strict=True
        )
    ]
    inverse_source = binned_norms([a for a, _ in pairs]).reciprocal_()
    inverse_target = binned_norms([b for _, b in pairs]).flatten().reciprocal_()
    rows, cols = source.shape[:2]
    row_bytes = 4 * cols * target.shape[0] * target.shape[1]
    # A block of t rows holds its sums (t each), and at most 3t rows of products and of their sums.
    whole = min(memory, _CACHED) >= (3 + len(ways)) * rows * row_bytes
    step = rows if whole else max(1, min(_ROWS, memory // ((6 + len(ways)) * row_bytes)))
    for first in range(0, rows, step):
        last = min(first + step, rows)
        shape = (last - first, cols, *target.shape[:2])
        totals = [torch.zeros(shape, device=source.device) for _ in ways]
        for level, (a, b) in enumerate(pairs):
            lowest, highest = max(first - 3**level, 0), min(last + 3**level, rows)
            products = a[lowest:highest].flatten(0, 1) @ b.flatten(0, 1).T
            products = products.view(highest - lowest, *shape[1:])
            for turned, total in zip(ways, totals, strict=True):
                part = products.flip(1) if turned else products
                _add_level(total, part, level, first - lowest, rows - lowest)
        yield tuple(
            Block(first * cols, _scaled(total, inverse[first:last], inverse_target))
            for total, inverse in zip(
                totals,
                [inverse_source.flip(1) if way else inverse_source for way in ways],
                strict=True,
            )
        )


def _scaled(total: Tensor, inverse_source: Tensor, inverse_target: Tensor) -> Tensor:
    values = total.view(inverse_source.numel(), inverse_target.numel())
    return values.mul_(inverse_source.flatten()[:, None]).mul_(inverse_target)


def _add_level(total: Tensor, products: Tensor, level: int, first: int, end: int) -> None:
    """Add a level's products, summed over its offsets, to `total` (t, cols, rows', cols').

    products: (n, cols, rows', cols') of the rows around the block, which starts at row `first`
    of them; the grid ends before row `end` of them, and begins at row 0 where that is the block.
    """
    reach, height = 3**level, len(total)
    along_cols = products.clone()
    for shift in (-reach, reach):
        _add_shifted(along_cols, products, shift, (1, 3))
    for shift in (-reach, 0, reach):
        if height == len(products):
            _add_shifted(total, along_cols, shift, (0, 2))
            continue
        wanted = torch.arange(first + shift, first + shift + height, device=total.device)
        _add_shifted(total, along_cols[wanted.clamp(0, end - 1)], shift, (2,))
    if level:
        total -= products[first : first + height]


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
