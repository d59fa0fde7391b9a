"""Soft labels finer than the patch grid: every patch carries a little picture of its labels.

One label a patch makes borders as coarse as the grid. Here a patch carries the labels of its
own pixels and half a patch around, sampled finely; where such tiles come to lie side by side
again they overlap, and every pixel is a mean of them with weights that fall towards their rims.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True)
class TileLayout:
    """Tiles of a patch grid. samples: (vertical, horizontal) for one step of the grid.

    The raster that the tiles are cut from has rows x samples[0] by cols x samples[1] points,
    spread evenly over the frame. One sample a step means plain labels without overlap.
    """

    rows: int
    cols: int
    samples: tuple[int, int]

    @property
    def raster(self) -> tuple[int, int]:
        """(height, width) of the raster."""
        return self.rows * self.samples[0], self.cols * self.samples[1]

    @property
    def margins(self) -> tuple[int, int]:
        """Samples that a tile reaches beyond its own step, on either side."""
        return self.samples[0] // 2, self.samples[1] // 2

    @property
    def tile(self) -> tuple[int, int]:
        """(height, width) of a tile in samples."""
        (down, right), (top, left) = self.samples, self.margins
        return down + 2 * top, right + 2 * left


def reduce_labels(one_hot: np.ndarray, layout: TileLayout) -> np.ndarray:
    """Labels of a frame on the raster.

    Args:
        one_hot: (H, W, K) float32, soft or hard.

    Returns:
        (K, height, width) float32 of the raster: the mean of each point's pixels; with one
        sample a step, the nearest pixel's as DINO's protocol has it.
    """
    height, width = layout.raster
    plain = layout.samples == (1, 1)
    how = cv2.INTER_NEAREST if plain else cv2.INTER_AREA
    planes = [
        cv2.resize(np.ascontiguousarray(one_hot[..., k]), (width, height), interpolation=how)
        for k in range(one_hot.shape[-1])
    ]
    return np.stack(planes).astype(np.float32)


def cut_tiles(raster: Tensor, layout: TileLayout) -> Tensor:
    """(K, height, width) labels on the raster to (rows, cols, K * tile) labels of patches."""
    top, left = layout.margins
    padded = F.pad(raster[:, None], (left, left, top, top), mode="replicate")
    tiles = F.unfold(padded, layout.tile, stride=layout.samples)
    return tiles.permute(2, 0, 1).reshape(layout.rows, layout.cols, -1)


def lay_tiles(tiles: Tensor, layout: TileLayout) -> Tensor:
    """The inverse of `cut_tiles`: (rows, cols, K * tile) to (K, height, width).

    Overlapping tiles are averaged with weights that fall linearly from a tile's middle.
    """
    down, right = layout.tile
    weights = _ramp(down, tiles)[:, None] * _ramp(right, tiles)[None]
    columns = tiles.reshape(layout.rows * layout.cols, -1, down * right).permute(1, 2, 0)
    top, left = layout.margins
    height, width = layout.raster
    size = height + 2 * top, width + 2 * left
    flat = weights.reshape(1, -1, 1)
    total = F.fold(columns * flat, size, layout.tile, stride=layout.samples)
    norm = F.fold(flat.expand(1, -1, columns.shape[-1]), size, layout.tile, stride=layout.samples)
    return (total / norm)[:, 0, top : top + height, left : left + width]


def _ramp(length: int, like: Tensor) -> Tensor:
    """(length,) positive weights, highest in the middle."""
    places = torch.arange(length, device=like.device, dtype=like.dtype)
    return 1 - (places - (length - 1) / 2).abs() / ((length + 1) / 2)
