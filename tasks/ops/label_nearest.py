"""The most similar patches within windows over all context frames, in one launch on a GPU.

As many small products as a grid has tiles, each with a selection of its own, keep a GPU waiting
for the thread that starts them; one program that keeps the best as it goes needs no memory for
similarities either.
"""

import functools
import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_TILE, _STEP = 8, 64  # side of a tile of queries; patches of the context at a time
_PROGRAMS = 528  # four for each multiprocessor of an H100
_MOST = 16  # beyond so many kept patches a plain selection is faster


def fits(query: Tensor, top_k: int) -> bool:
    """Whether `nearest` takes these: half precision on a GPU with Triton, few kept patches."""
    return (
        query.is_cuda
        and query.dtype in (torch.float16, torch.bfloat16)
        and top_k <= _MOST
        and importlib.util.find_spec("triton") is not None
    )


def nearest(
    query: Tensor, context: Sequence[Tensor], reach: tuple[int, int], *, circle: bool, top_k: int
) -> tuple[Tensor, Tensor]:
    """The `top_k` largest cosines of each patch and where they are.

    Args:
        query: (rows, cols, D) half precision, L2-normalised. context: one such for each frame.
        reach: rows and columns that a patch looks to either side. circle: only within the
            ellipse of these half-axes.

    Returns:
        cosines (rows * cols, top_k) float32, largest first, -inf where a window has fewer
        patches; and places (rows * cols, top_k) int64 in the flattened (frames, rows, cols).
    """
    rows, cols, channels = query.shape
    stacked = torch.stack(list(context))
    tiles = -(-rows // _TILE) * -(-cols // _TILE)
    parts = min(len(context), -(-_PROGRAMS // tiles))
    shape = (rows * cols, parts * top_k)
    best = torch.empty(shape, dtype=torch.float32, device=query.device)
    places = torch.empty(shape, dtype=torch.int32, device=query.device)
    with torch.cuda.device(query.device):
        _kernel()[(tiles, parts)](
            query.contiguous(),
            stacked,
            best,
            places,
            rows,
            cols,
            channels,
            len(context),
            *reach,
            circle=circle,
            kept=top_k,
            padded=1 << max(1, (top_k - 1).bit_length()),
            tile=_TILE,
            step=_STEP,
            depth=max(16, min(128, 1 << (channels - 1).bit_length())),
            num_warps=4,
        )
    top = best.topk(top_k, dim=1)
    return top.values, places.gather(1, top.indices).long()


@functools.cache
def _kernel() -> Any:
    return importlib.import_module("tasks.ops.nearest_kernels").nearest_in_windows
