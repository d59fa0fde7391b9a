"""Images in, descriptors out: the model, the settings and the ops in one step."""

import functools
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tasks.config import ExtractConfig
from tasks.model import LoadedModel, load_model
from tasks.ops.patch_grid import PatchGrid, plan_grid
from tasks.ops.preprocess import to_batch, to_canvas
from tasks.ops.saliency import saliency_from_attention
from tasks.ops.vit import extract_facets
from tasks.pack import fitted, pack

# One forward pass at a time in a process: it uses all cores or the whole GPU as it is, and two
# at once would only need twice the memory. Reading and writing overlap with it.
_COMPUTE = threading.Lock()
# Most images and most patches of a batch: more make an H100 no faster, and a processor slower.
_FULL = {"cuda": (128, 131_072), "cpu": (8, 8_192)}


@dataclass(frozen=True, slots=True)
class Described:
    """One image's descriptors.

    arrays: by the store's names: ``descriptors`` and further facets (rows, cols, D), ``cls``
    (D,) where the model has a CLS token, ``saliency`` (rows, cols) float32 in [0, 1], and
    where the settings ask for it ``heads`` (h, rows, cols) float16, each head's CLS attention.
    """

    grid: PatchGrid
    arrays: dict[str, np.ndarray]


def model_of(config: ExtractConfig) -> LoadedModel:
    """The settings' model, loaded once a process and checked against the settings.

    Raises:
        WeightsError: weights that cannot be had, or unknown model.
        ValueError: a layer or head that the model lacks, a stride that does not divide its
            patch size.
    """
    model = load_model(
        config.model,
        config.resolved_weights,
        config.weights_sha256,
        config.device,
        config.precision,
    )
    layers = {r.layer for r in config.arrays.values()}
    layers |= set() if config.saliency_layer is None else {config.saliency_layer}
    if max(layers) >= model.depth:
        raise ValueError(
            f"layer {max(layers)} does not exist: {config.model} has layers 0..{model.depth - 1}"
        )
    if config.saliency_heads is not None and max(config.saliency_heads) >= model.heads:
        raise ValueError(
            f"saliency head {max(config.saliency_heads)} does not exist: {config.model} has heads "
            f"0..{model.heads - 1}"
        )
    grid_of(config, model.patch, 1000, 1000)
    return model


def grid_of(config: ExtractConfig, patch: int, width: int, height: int) -> PatchGrid:
    """The patch grid of an image of `width` x `height` pixels under these settings."""
    return plan_grid(
        width,
        height,
        patch=patch,
        stride=config.strides,
        size=config.size,
        fit=config.fit,
        multiple=config.multiple,
    )


def batch_size(config: ExtractConfig, model: LoadedModel, grid: tuple[int, int]) -> int:
    """Images of one forward pass: the settings' number, or what fills the device."""
    if config.batch is not None:
        return config.batch
    limit, patches = _FULL["cuda" if model.device.startswith("cuda") else "cpu"]
    return max(1, min(limit, patches // (grid[0] * grid[1])))


def describe(images: Sequence[np.ndarray], config: ExtractConfig) -> list[Described]:
    """Descriptors of images (H, W, 3) uint8 of any sizes, batched by canvas size."""
    model = model_of(config)
    grids = [grid_of(config, model.patch, im.shape[1], im.shape[0]) for im in images]
    described: dict[int, Described] = {}
    for canvas in dict.fromkeys(grid.canvas for grid in grids):
        members = [i for i, grid in enumerate(grids) if grid.canvas == canvas]
        size = batch_size(config, model, grids[members[0]].shape)
        for first in range(0, len(members), size):
            batch = members[first : first + size]
            canvases = [to_canvas(images[i], grids[i], config.interpolation) for i in batch]
            outputs = describe_canvases(canvases, config, model)
            for i, arrays in zip(batch, outputs, strict=True):
                described[i] = Described(grids[i], arrays)
    return [described[i] for i in range(len(images))]


def describe_canvases(
    canvases: Sequence[np.ndarray], config: ExtractConfig, model: LoadedModel
) -> list[dict[str, np.ndarray]]:
    """One forward pass over canvases (H, W, 3) uint8 of one size; see `Described.arrays`."""
    return start(canvases, config, model).images()


class Batch:
    """A batch whose arrays are computed, or on a GPU will be: ask later and it need not wait."""

    def __init__(self, stacked: dict[str, Tensor], config: ExtractConfig, span: "_Span") -> None:
        self._stacked = stacked
        self._config = config
        self._span = span

    def images(self) -> list[dict[str, np.ndarray]]:
        """Each image's arrays, on the host."""
        self._span.wait()
        arrays = {name: tensor.numpy() for name, tensor in self._stacked.items()}
        attention = arrays.pop("attention")
        arrays["saliency"] = saliency_from_attention(attention, self._config.saliency_heads)
        if self._config.attention_heads:
            arrays["heads"] = attention.astype(np.float16)
        return [{name: array[i] for name, array in arrays.items()} for i in range(len(attention))]

    @property
    def seconds(self) -> float:
        """How long the device computed; once `images` was asked for."""
        return self._span.seconds()


def start(
    canvases: Sequence[np.ndarray],
    config: ExtractConfig,
    model: LoadedModel,
    *,
    packed: bool = False,
    bases: Mapping[str, np.ndarray] | None = None,
) -> Batch:
    """Begin a forward pass over canvases (H, W, 3) uint8 of one size.

    Args:
        packed: arrays as the store holds them (see `ExtractConfig.dtype` and ``pca``) rather
            than as `Described.arrays` says; they are made smaller before they leave a GPU.
        bases: with ``pca``, of each facet's array the axes (D, pca) float32.
    """
    last = model.depth - 1
    with _COMPUTE, torch.inference_mode():
        span = _Span(torch.device(model.device))
        batch = to_batch(canvases, model.mean, model.std, model.device)
        features = extract_facets(
            model.module,
            batch.to(getattr(torch, model.precision)),
            list(config.arrays.values()),
            stride=config.strides,
            position_resize=config.resolved_position_resize,
            attended=config.attended,
            attention_layer=last if config.saliency_layer is None else config.saliency_layer,
        )
        if features.attention is None:
            raise RuntimeError("no attention came back although a layer was named")
        dtype = getattr(torch, config.computed_dtype)
        made: dict[str, Tensor] = {"attention": features.attention}
        for name, request in config.arrays.items():
            axes = None if bases is None else bases.get(name)
            values = features.facets[request]
            made |= pack(name, values, config, axes) if packed else {name: fitted(values, dtype)}
        if config.request in features.cls:
            made["cls"] = fitted(features.cls[config.request], dtype)
        return Batch(span.fetch(made), config, span)


class _Span:
    """The time that a batch takes on its device, and the way of its arrays to the host."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._began = time.perf_counter()
        self._took = 0.0
        if device.type == "cuda":
            # Waiting for one must not keep a core busy: others decode and write meanwhile.
            self._events = [torch.cuda.Event(enable_timing=True, blocking=True) for _ in range(3)]
            self._events[0].record(torch.cuda.current_stream(device))

    def fetch(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Copies on the host; of a GPU's they arrive later, beside the next batch's computing."""
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
        if self._device.type != "cuda":
            self._took = time.perf_counter() - self._began
            return tensors
        computing, copying = torch.cuda.current_stream(self._device), _copies(self._device)
        self._events[1].record(computing)
        copying.wait_stream(computing)
        fetched = {}
        with torch.cuda.stream(copying):
            for name, tensor in tensors.items():
                fetched[name] = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
                fetched[name].copy_(tensor, non_blocking=True)
                tensor.record_stream(copying)
            self._events[2].record(copying)
        return fetched

    def wait(self) -> None:
        """Until the copies are there."""
        if self._device.type == "cuda":
            self._events[2].synchronize()

    def seconds(self) -> float:
        """Of computing, without the copies."""
        if self._device.type == "cuda":
            return self._events[0].elapsed_time(self._events[1]) / 1000
        return self._took


@functools.cache
def _copies(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)
