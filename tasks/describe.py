"""Images in, descriptors out: the model, the settings and the ops in one step."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from tasks.config import ExtractConfig
from tasks.model import LoadedModel, load_model
from tasks.ops.patch_grid import PatchGrid, plan_grid
from tasks.ops.preprocess import to_batch, to_canvas
from tasks.ops.saliency import saliency_from_attention
from tasks.ops.vit import extract_facets

# One forward pass at a time in a process: it uses all cores or the whole GPU as it is, and two
# at once would only need twice the memory. Reading and writing overlap with it.
_COMPUTE = threading.Lock()


@dataclass(frozen=True, slots=True)
class Described:
    """One image's descriptors.

    arrays: by the store's names: ``descriptors`` and further facets (rows, cols, D), ``cls``
    (D,) where the model has a CLS token, ``saliency`` (rows, cols) float32 in [0, 1].
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


def describe(images: Sequence[np.ndarray], config: ExtractConfig) -> list[Described]:
    """Descriptors of images (H, W, 3) uint8 of any sizes, batched by canvas size."""
    model = model_of(config)
    grids = [grid_of(config, model.patch, im.shape[1], im.shape[0]) for im in images]
    described: dict[int, Described] = {}
    for canvas in dict.fromkeys(grid.canvas for grid in grids):
        members = [i for i, grid in enumerate(grids) if grid.canvas == canvas]
        for start in range(0, len(members), config.batch):
            batch = members[start : start + config.batch]
            canvases = [to_canvas(images[i], grids[i], config.interpolation) for i in batch]
            outputs = describe_canvases(canvases, config, model)
            for i, arrays in zip(batch, outputs, strict=True):
                described[i] = Described(grids[i], arrays)
    return [described[i] for i in range(len(images))]


def describe_canvases(
    canvases: Sequence[np.ndarray], config: ExtractConfig, model: LoadedModel
) -> list[dict[str, np.ndarray]]:
    """One forward pass over canvases (H, W, 3) uint8 of one size; see `Described.arrays`."""
    batch = to_batch(canvases, model.mean, model.std)
    last = model.depth - 1
    with _COMPUTE:
        features = extract_facets(
            model.module,
            batch.to(model.device, getattr(torch, model.precision)),
            list(config.arrays.values()),
            stride=config.strides,
            position_resize=config.resolved_position_resize,
            attended=config.attended,
            attention_layer=last if config.saliency_layer is None else config.saliency_layer,
        )
        dtype = getattr(torch, config.computed_dtype)
        stacked = {
            name: _to_numpy(features.facets[request], dtype)
            for name, request in config.arrays.items()
        }
        if config.request in features.cls:
            stacked["cls"] = _to_numpy(features.cls[config.request], dtype)
        if features.attention is None:
            raise RuntimeError("no attention came back although a layer was named")
        attention = _to_numpy(features.attention, torch.float32)
    stacked["saliency"] = saliency_from_attention(attention, config.saliency_heads)
    return [{name: array[i] for name, array in stacked.items()} for i in range(len(canvases))]


def _to_numpy(tensor: torch.Tensor, dtype: torch.dtype) -> np.ndarray:
    if dtype == torch.float16:
        # Artefact tokens of large models can pass float16's range; infinity would spoil cosines.
        tensor = tensor.clamp(-65504.0, 65504.0)
    return tensor.to("cpu", dtype).numpy()
