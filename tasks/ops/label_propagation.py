"""Labels carried from frame to frame along patch similarity, inside a window.

DINO (Caron et al. 2021, appendix; after Jabri et al. 2020): a patch of the new frame takes the
labels of its most similar patches among all context frames, weighted by a softmax of the
cosines. Only patches within `radius` of its own position are looked at, and only those
similarities are computed, tile by tile: memory does not depend on the number of frames, and
the full N x N affinity never exists. In half precision on a GPU one kernel does it
(`label_nearest.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from tasks.ops import label_nearest
from tasks.ops.kinds import NEIGHBOURHOODS, Neighbourhood

_GROUP = 16  # patches whose maximum stands for them in the first selection


class _Tile(NamedTuple):
    """rows, cols: the queries. context_rows, context_cols: everything within their windows.

    outside: (queries, context patches of one frame) bool, True where out of the window.
    """

    rows: slice
    cols: slice
    context_rows: slice
    context_cols: slice
    outside: Tensor


@dataclass(frozen=True)
class WindowPlan:
    """Which patches of a grid see which, cut into tiles; made once a video by `plan_windows`."""

    rows: int
    cols: int
    reach: tuple[int, int]
    circle: bool
    tiles: tuple[_Tile, ...]


def plan_windows(
    rows: int,
    cols: int,
    *,
    radius: int | tuple[int, int],
    neighbourhood: Neighbourhood = "square",
    tile: int = 8,
    device: torch.device | str = "cpu",
) -> WindowPlan:
    """Cut a grid into tiles and note for each what its patches may see.

    Args:
        radius: in patches, inclusive; two numbers where rows and columns differ. ``square``: at
            most so many rows and columns away; ``circle``: within the circle, or ellipse, of
            that radius.
        tile: side of a tile in patches. Larger ones waste products outside of the windows,
            smaller ones call the matrix product more often.

    Raises:
        ValueError: a negative radius, an empty grid or tile, an unknown neighbourhood.
    """
    reach = (radius, radius) if isinstance(radius, int) else radius
    if min(reach) < 0 or min(rows, cols, tile) < 1:
        raise ValueError(
            f"expected radius >= 0 and rows, cols, tile >= 1; got radius {radius}, "
            f"grid {rows}x{cols}, tile {tile}"
        )
    if neighbourhood not in NEIGHBOURHOODS:
        raise ValueError(f"neighbourhood must be one of {NEIGHBOURHOODS}; got {neighbourhood!r}")
    tiles = tuple(
        _plan_tile(
            slice(top, min(top + tile, rows)),
            slice(left, min(left + tile, cols)),
            (rows, cols),
            reach,
            neighbourhood,
            device,
        )
        for top in range(0, rows, tile)
        for left in range(0, cols, tile)
    )
    return WindowPlan(rows, cols, reach, neighbourhood == "circle", tiles)


def _plan_tile(
    rows: slice,
    cols: slice,
    grid: tuple[int, int],
    radius: tuple[int, int],
    neighbourhood: Neighbourhood,
    device: torch.device | str,
) -> _Tile:
    seen_rows = slice(max(rows.start - radius[0], 0), min(rows.stop + radius[0], grid[0]))
    seen_cols = slice(max(cols.start - radius[1], 0), min(cols.stop + radius[1], grid[1]))
    down = _distances(rows, seen_rows, device)[:, None, :, None]
    across = _distances(cols, seen_cols, device)[None, :, None, :]
    outside = (down > radius[0]) | (across > radius[1])
    if neighbourhood == "circle":
        # (down / radius)^2 + (across / radius)^2 > 1 in whole numbers.
        sides = (down * radius[1]) ** 2 + (across * radius[0]) ** 2
        outside |= sides > (radius[0] * radius[1]) ** 2
    return _Tile(rows, cols, seen_rows, seen_cols, outside.flatten(2).flatten(0, 1))


def _distances(queries: slice, context: slice, device: torch.device | str) -> Tensor:
    """(queries, context) absolute differences of positions along one axis."""
    ours = torch.arange(queries.start, queries.stop, device=device)
    theirs = torch.arange(context.start, context.stop, device=device)
    return (ours[:, None] - theirs[None]).abs()


@torch.inference_mode()
def propagate_labels(
    query: Tensor,
    context: Sequence[Tensor],
    labels: Sequence[Tensor],
    plan: WindowPlan,
    *,
    top_k: int = 5,
    temperature: float = 0.1,
) -> Tensor:
    """Labels of a frame from those of its context frames.

    Every patch keeps the `top_k` largest cosines over the windows of all context frames
    jointly; weights are exp(cosine / temperature), normalised to one.

    Args:
        query: (rows, cols, D) floating, L2-normalised descriptors of the new frame.
        context: one (rows, cols, D) for each context frame, L2-normalised, of the same dtype.
        labels: one (rows, cols, K) for each context frame, soft; any K, the labels' meaning is
            the caller's. Output is a convex combination of them.
        plan: windows of this grid.

    Returns:
        (rows, cols, K), dtype of the labels, though float32 for half precision.

    Raises:
        ValueError: no context, shapes that do not fit the plan, top_k < 1, temperature <= 0.
    """
    _check(query, context, labels, plan, top_k, temperature)
    if label_nearest.fits(query, top_k):
        best, places = label_nearest.nearest(
            query, context, plan.reach, circle=plan.circle, top_k=top_k
        )
        mixed = _mix(best, torch.stack(list(labels)).flatten(0, 2), places, temperature)
        return mixed.unflatten(0, (plan.rows, plan.cols))
    first = labels[0]
    out = torch.empty(
        (plan.rows, plan.cols, first.shape[-1]), dtype=_computed(first.dtype), device=first.device
    )
    for tile in plan.tiles:
        mixed = _propagate_tile(query, context, labels, tile, top_k, temperature)
        out[tile.rows, tile.cols] = mixed
    return out


def _propagate_tile(
    query: Tensor,
    context: Sequence[Tensor],
    labels: Sequence[Tensor],
    tile: _Tile,
    top_k: int,
    temperature: float,
) -> Tensor:
    ours = query[tile.rows, tile.cols]
    seen = torch.stack([frame[tile.context_rows, tile.context_cols] for frame in context])
    cosines = ours.flatten(0, 1) @ seen.flatten(0, 2).T
    cosines.unflatten(1, (len(context), -1)).masked_fill_(tile.outside[:, None], -torch.inf)
    best, places = _largest(cosines, min(top_k, cosines.shape[1]))
    # All frames' labels at once would be the largest array of a video's state.
    theirs = torch.stack([frame[tile.context_rows, tile.context_cols] for frame in labels])
    return _mix(best, theirs.flatten(0, 2), places, temperature).unflatten(0, ours.shape[:2])


def _mix(best: Tensor, labels: Tensor, places: Tensor, temperature: float) -> Tensor:
    """(P, K) means of `labels` (n, K) at `places` (P, k), weighed by a softmax of `best`."""
    dtype = _computed(labels.dtype)
    weights = torch.softmax(best.to(dtype) / temperature, dim=1)
    return torch.bmm(weights[:, None], labels[places].to(dtype))[:, 0]


def _computed(labels: torch.dtype) -> torch.dtype:
    return torch.float32 if labels in (torch.float16, torch.bfloat16) else labels


def _largest(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest of each row of (P, n) and their places; faster than a plain top-k.

    Every one of them lies in one of the `count` groups of largest maxima, so that the slow
    selection sees one value a group first, then the members of a few groups.
    """
    rows, length = values.shape
    groups = length // _GROUP
    if groups <= count:
        return values.topk(count, dim=1)
    body = values[:, : groups * _GROUP].unflatten(1, (_GROUP, groups))
    chosen = body.amax(dim=1).topk(count, dim=1, sorted=False).indices
    offsets = torch.arange(_GROUP, device=values.device)[:, None] * groups
    members = (chosen[:, None] + offsets).flatten(1)
    rest = torch.arange(groups * _GROUP, length, device=values.device).expand(rows, -1)
    candidates = torch.cat([members, rest], dim=1)
    best = values.gather(1, candidates).topk(count, dim=1)
    return best.values, candidates.gather(1, best.indices)


def _check(
    query: Tensor,
    context: Sequence[Tensor],
    labels: Sequence[Tensor],
    plan: WindowPlan,
    top_k: int,
    temperature: float,
) -> None:
    if not context or len(context) != len(labels):
        raise ValueError(
            "expected at least one context frame and labels for each; "
            f"got {len(context)} frames and {len(labels)} labels"
        )
    grid = (plan.rows, plan.cols)
    wrong = [tuple(a.shape) for a in (query, *context, *labels) if tuple(a.shape[:2]) != grid]
    if wrong:
        raise ValueError(f"expected a grid of {grid} everywhere, as planned; got {wrong[0]}")
    if top_k < 1 or temperature <= 0:
        raise ValueError(
            f"expected top_k >= 1 and temperature > 0; got top_k {top_k}, temperature {temperature}"
        )
