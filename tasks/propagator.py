"""One video's state: describe a frame, carry the labels on, decide the mask."""

import threading
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tasks.describe import grid_of, model_of
from tasks.ops.label_memory import LabelMemory, Remembered
from tasks.ops.label_propagation import plan_windows, propagate_labels
from tasks.ops.label_tiles import TileLayout, cut_tiles, lay_tiles, reduce_labels
from tasks.ops.pca import fit_axes
from tasks.ops.preprocess import to_batch, to_canvas
from tasks.ops.video_masks import (
    decide_by_area,
    decide_by_range,
    one_hot,
    refine_labels,
    to_frame,
)
from tasks.ops.vit import extract_facets
from tasks.ops.vit_shifted import extract_shifted
from tasks.video_config import PropagateConfig

_COMPUTE = threading.Lock()  # one forward pass at a time, as in `tasks.describe`


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

    All frames are resized to the canvas of the first, `width` x `height` pixels.
    """

    def __init__(
        self, config: PropagateConfig, width: int, height: int, numbers: tuple[int, ...]
    ) -> None:
        self.config = config
        self.numbers = numbers
        self.model = model_of(config)
        self.grid = grid_of(config, self.model.patch, width, height)
        self.layout = _layout(config, self.grid.shape, self.grid.stride)
        # The radius counts patches; a finer stride looks as far in pixels.
        steps = [round(config.radius * self.model.patch / s) for s in self.grid.stride]
        self.windows = plan_windows(
            *self.grid.shape,
            radius=(steps[0], steps[1]),
            neighbourhood=config.neighbourhood,
            device=self.model.device,
        )
        self.axes: Tensor | None = None
        self.memory = LabelMemory(config.recent)

    def give(self, index: int, frame: np.ndarray, labels: np.ndarray) -> FrameMask:
        """Take a known mask, (H, W) object numbers of any size, for frame `index`."""
        descriptors = self.describe(frame)
        raster = reduce_labels(one_hot(labels, self.numbers), self.layout)
        tiles = cut_tiles(torch.from_numpy(raster), self.layout)
        self._remember(index, descriptors, tiles, given=True)
        areas = tuple(float((labels == n).mean()) for n in self.numbers)
        return FrameMask(labels, areas, 1.0)

    def follow(self, index: int, frame: np.ndarray) -> FrameMask:
        """The mask of the next frame, from the frames before it."""
        descriptors = self.describe(frame)
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
        return self._decide(frame, tiles)

    def describe(self, frame: np.ndarray) -> Tensor:
        """(rows, cols, D) float32 unit descriptors of a frame (H, W, 3) uint8."""
        config, model = self.config, self.model
        canvas = to_canvas(frame, self.grid, config.interpolation)
        batch = to_batch([canvas], model.mean, model.std)
        batch = batch.to(model.device, getattr(torch, model.precision))
        requests = list(config.arrays.values())
        how = config.resolved_position_resize
        with _COMPUTE, torch.inference_mode():
            if config.passes == "shifted":
                facets = extract_shifted(
                    model.module,
                    batch,
                    requests,
                    patch=model.patch,
                    stride=config.strides,
                    position_resize=how,
                )
            else:
                facets = extract_facets(
                    model.module, batch, requests, stride=config.strides, position_resize=how
                ).facets
            parts = [_unit(facets[request][0].float()) for request in requests]
            return self._project(torch.cat(parts, dim=-1))

    def restore(self, index: int, frame: np.ndarray, labels: np.ndarray) -> None:
        """Remember a frame that was done in an earlier run, with its soft `labels`."""
        self._remember(index, self.describe(frame), torch.from_numpy(labels))

    def _project(self, joined: Tensor) -> Tensor:
        if self.config.channels is None:
            return _unit(joined)
        if self.axes is None:
            sample = joined.flatten(0, 1).cpu().numpy()
            count = min(self.config.channels, *sample.shape)
            self.axes = torch.from_numpy(fit_axes(sample, count).axes.copy()).to(joined.device)
        return _unit(joined @ self.axes)

    def _remember(
        self, index: int, descriptors: Tensor, tiles: Tensor, *, given: bool = False
    ) -> None:
        labels = tiles.to(descriptors.device, torch.float16)
        self.memory.add(Remembered(index, descriptors, labels), given=given)

    def _decide(self, frame: np.ndarray, tiles: Tensor) -> FrameMask:
        height, width = frame.shape[:2]
        plain = self.config.labels == "patch"
        raster = lay_tiles(tiles, self.layout).cpu().numpy()
        soft = refine_labels(frame, to_frame(raster, width, height), self.config.refinement)
        decide = decide_by_range if plain else decide_by_area
        labels = decide(soft, self.numbers)
        areas = tuple(float((labels == n).mean()) for n in self.numbers)
        inside = labels > 0
        sure = float(soft[1:].max(axis=0)[inside].mean()) if inside.any() else 0.0
        return FrameMask(labels, areas, sure)


def _layout(config: PropagateConfig, grid: tuple[int, int], stride: tuple[int, int]) -> TileLayout:
    if config.labels == "patch":
        return TileLayout(*grid, (1, 1))
    # A sample for every two pixels: finer than any border that the descriptors can tell.
    return TileLayout(*grid, (max(1, -(-stride[0] // 2)), max(1, -(-stride[1] // 2))))


def _unit(values: Tensor) -> Tensor:
    return torch.nn.functional.normalize(values, dim=-1)
