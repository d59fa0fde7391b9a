"""One video's state: describe a frame, carry the labels on, decide the mask."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from storage.videos import Frame
from tasks.clip_descriptors import Describer
from tasks.ops import mask_decisions
from tasks.ops.label_memory import LabelMemory, Remembered
from tasks.ops.label_propagation import plan_windows, propagate_labels
from tasks.ops.label_tiles import TileLayout, cut_tiles, lay_tiles, reduce_labels
from tasks.ops.pca import fit_axes
from tasks.ops.video_masks import (
    decide_by_area,
    decide_by_range,
    one_hot,
    refine_labels,
    to_frame,
)
from tasks.video_config import PropagateConfig


class FrameMask(NamedTuple):
    """What a frame came to.

    labels: (H, W) uint8 object numbers, of the frame's size. areas: share of the frame that
    each object covers. confidence: mean soft label over the objects' pixels; 1 where given,
    0 where there is none.
    """

    labels: np.ndarray
    areas: tuple[float, ...]
    confidence: float


class Propagator:
    """Carries the masks of `numbers` through the frames of one video, in either direction.

    Frames are described (`describe`), then a frame's labels are given or carried on (`give`,
    `follow`), then its mask is decided (`decide`). Each of the three may run in a thread of its
    own, each on one frame after the other; only the middle one waits for the frame before.
    """

    def __init__(
        self, config: PropagateConfig, describer: Describer, numbers: tuple[int, ...]
    ) -> None:
        self.config = config
        self.numbers = numbers
        self.describer = describer
        grid = describer.grid
        self.layout = _layout(config, grid.shape, grid.stride)
        # The radius counts patches; a finer stride looks as far in pixels.
        steps = [round(config.radius * grid.patch / s) for s in grid.stride]
        self.windows = plan_windows(
            *grid.shape,
            radius=(steps[0], steps[1]),
            neighbourhood=config.neighbourhood,
            # A GPU is kept waiting by many small products, a core wastes time on large ones.
            tile=8 if describer.device == "cpu" else 32,
            device=describer.device,
        )
        # A GPU multiplies half precision ten times as fast; 0.0005 of a cosine decide nothing.
        self.dtype = torch.float32 if describer.device == "cpu" else torch.float16
        self.axes: Tensor | None = None
        self.memory = LabelMemory(config.recent)

    def describe(self, frames: Sequence[Frame]) -> Tensor:
        """(B, rows, cols, D) unit descriptors of frames: float32, on a GPU float16.

        The first frame of the first call gives the axes that all are reduced to.
        """
        joined = self.describer(frames)
        if self.config.channels is None:
            return self._unit(joined)
        if self.axes is None:
            sample = joined[0].flatten(0, 1).cpu().numpy()
            count = min(self.config.channels, *sample.shape)
            self.axes = torch.from_numpy(fit_axes(sample, count).axes.copy()).to(joined.device)
        return self._unit(joined @ self.axes)

    def give(self, index: int, descriptors: Tensor, labels: np.ndarray) -> None:
        """Take a known mask, (H, W) object numbers of any size, for frame `index`."""
        raster = reduce_labels(one_hot(labels, self.numbers), self.layout)
        tiles = cut_tiles(torch.from_numpy(raster), self.layout)
        self._remember(index, descriptors, tiles, given=True)

    def follow(self, index: int, descriptors: Tensor) -> Tensor:
        """Labels of the next frame, from the frames before it: (rows, cols, K * tile) float32."""
        known = self.memory.frames
        tiles = propagate_labels(
            descriptors,
            [f.descriptors for f in known],
            [f.labels for f in known],
            self.windows,
            top_k=self.config.top_k,
            temperature=self.config.temperature,
        )
        self._remember(index, descriptors, tiles)
        return tiles

    def restore(self, index: int, descriptors: Tensor, labels: np.ndarray) -> None:
        """Remember a frame that was done in an earlier run, with the labels it had then."""
        self._remember(index, descriptors, torch.from_numpy(labels))

    def decide(self, frame: np.ndarray, tiles: Tensor) -> FrameMask:
        """The mask of a frame (H, W, 3) uint8 from its labels."""
        height, width = frame.shape[:2]
        plain = self.config.labels == "patch"
        raster = lay_tiles(tiles, self.layout)
        if raster.is_cuda:
            return self._decide_on_device(torch.tensor(frame, device=raster.device), raster)
        soft = to_frame(raster.numpy(), width, height)
        soft = refine_labels(frame, soft, self.config.refinement)
        decided = decide_by_range if plain else decide_by_area
        labels = decided(soft, self.numbers)
        inside = labels > 0
        sure = float(soft[1:].max(axis=0)[inside].mean()) if inside.any() else 0.0
        return FrameMask(labels, self._areas(labels), sure)

    def _decide_on_device(self, frame: Tensor, raster: Tensor) -> FrameMask:
        found = mask_decisions.decide(
            frame,
            raster,
            self.numbers,
            method=self.config.refinement,
            by_area=self.config.labels != "patch",
        )
        numbers = torch.cat([found.areas, found.confidence[None]]).tolist()
        return FrameMask(found.labels.cpu().numpy(), tuple(numbers[:-1]), numbers[-1])

    def known(self, labels: np.ndarray) -> FrameMask:
        """What a frame with a given mask comes to."""
        return FrameMask(labels, self._areas(labels), 1.0)

    def _unit(self, values: Tensor) -> Tensor:
        return torch.nn.functional.normalize(values, dim=-1).to(self.dtype)

    def _areas(self, labels: np.ndarray) -> tuple[float, ...]:
        return tuple(float((labels == n).mean()) for n in self.numbers)

    def _remember(
        self, index: int, descriptors: Tensor, tiles: Tensor, *, given: bool = False
    ) -> None:
        labels = tiles.to(descriptors.device, torch.float16)
        self.memory.add(Remembered(index, descriptors, labels), given=given)


def _layout(config: PropagateConfig, grid: tuple[int, int], stride: tuple[int, int]) -> TileLayout:
    if config.labels == "patch":
        return TileLayout(*grid, (1, 1))
    # A sample for every two pixels: finer than any border that the descriptors can tell.
    return TileLayout(*grid, (max(1, -(-stride[0] // 2)), max(1, -(-stride[1] // 2))))
