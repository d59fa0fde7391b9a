"""Where points of one image lie in another: from similarity maps to positions.

The peak of a similarity map is a patch; a soft-argmax in a window around it finds the
position between patches. An alignment of the two images (`alignment`), where there is one,
is a soft prior: a position's similarity falls with its distance from where the alignment
puts the point, by at most `strength`, so that far candidates lose only near-ties.

Some target patches are close to everything. Their cosines are lowered by a share of the best
one that any source patch has with them, as cross-domain similarity local scaling does (Conneau
et al. 2018, arXiv 1710.04087, equation 2, with one neighbour).
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tasks.ops.alignment import Alignment, LocalAlignment
from tasks.ops.similarity import Block


class Located(NamedTuple):
    """Positions of P points on a target grid.

    row_col: (P, 2) float32, fractional. similarity: (P,) the peak of the map, with all that was
    taken from it.
    confidence: (P,) in (0, 1], the share of softmax(map / temperature) that lies in the window
    around the peak: low where several places look alike.
    """

    row_col: Tensor
    similarity: Tensor
    confidence: Tensor


class Prior(NamedTuple):
    """How far an alignment is trusted.

    strength: the most that a cosine can lose. reach: patches from the expected position
    at which it loses that.
    """

    strength: float
    reach: float


def locate(maps: Tensor, *, window: int, temperature: float) -> Located:
    """Windowed soft-argmax of similarity maps (P, rows, cols).

    Args:
        window: patches on each side of the peak that take part; 0 gives the peak itself.
        temperature: of the softmax, in units of cosine.

    Raises:
        ValueError: a negative window or a temperature that is not positive.
    """
    if window < 0 or not temperature > 0:
        raise ValueError(
            f"expected window >= 0 and temperature > 0; got {window} and {temperature}"
        )
    points, rows, cols = maps.shape
    flat = maps.reshape(points, -1)
    peak, index = flat.max(dim=1)
    steps = torch.arange(-window, window + 1, device=maps.device)
    row = (index // cols)[:, None, None] + steps[:, None]
    col = (index % cols)[:, None, None] + steps[None, :]
    inside = (row >= 0) & (row < rows) & (col >= 0) & (col < cols)
    cells = (row.clamp(0, rows - 1) * cols + col.clamp(0, cols - 1)).flatten(1)
    values = flat.gather(1, cells).view_as(inside)
    mass = torch.where(inside, ((values - peak[:, None, None]) / temperature).exp(), 0)
    whole = ((flat - peak[:, None]) / temperature).exp().sum(dim=1)
    share = mass.sum(dim=(1, 2))
    row_col = torch.stack(
        [(mass * row).sum(dim=(1, 2)) / share, (mass * col).sum(dim=(1, 2)) / share], dim=-1
    )
    return Located(row_col, peak, (share / whole).clamp(max=1))


def lean(
    maps: Tensor, row_col: Tensor, alignment: Alignment | LocalAlignment, prior: Prior
) -> Tensor:
    """Lower similarity maps (P, rows, cols) away from where `alignment` puts `row_col` (P, 2).

    map - strength * min(distance^2 / reach^2, 1).
    """
    expected = torch.from_numpy(alignment.apply(row_col.double().cpu().numpy())).to(maps)
    squares = [
        (torch.arange(length, device=maps.device) - expected[:, axis, None]) ** 2
        for axis, length in enumerate(maps.shape[1:])
    ]
    distance = squares[0][:, :, None] + squares[1][:, None, :]
    return maps - prior.strength * (distance / prior.reach**2).clamp_(max=1)


def locate_patches(
    blocks: Iterable[Block],
    source_shape: tuple[int, int],
    target_shape: tuple[int, int],
    *,
    window: int,
    temperature: float,
    penalty: Tensor | None = None,
    alignment: Alignment | LocalAlignment | None = None,
    prior: Prior | None = None,
) -> Located:
    """The position of every source patch on the target grid: dense flow, patch by patch.

    Args:
        blocks: of `similarity.patch_blocks`. source_shape, target_shape: (rows, cols).
        window, temperature: see `locate`. penalty: (M,) taken from all cosines of a target patch.
        alignment, prior: see `lean`; None leaves the maps.

    Returns:
        Located for all N patches, row by row.
    """
    found = []
    for start, values in blocks:
        maps = (values if penalty is None else values - penalty).view(-1, *target_shape)
        if alignment is not None and prior is not None:
            index = torch.arange(start, start + len(values), device=values.device)
            row_col = torch.stack([index // source_shape[1], index % source_shape[1]], dim=-1)
            maps = lean(maps, row_col, alignment, prior)
        found.append(locate(maps, window=window, temperature=temperature))
    return Located(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def grid_positions(index: np.ndarray, cols: int) -> np.ndarray:
    """Patch numbers (P,), row by row, to positions (P, 2) (row, col) float64."""
    return np.stack([index // cols, index % cols], axis=-1).astype(np.float64)
