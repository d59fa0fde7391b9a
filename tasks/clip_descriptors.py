"""Where a video's descriptors come from: its frames themselves, or a store."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from storage.descriptors import DescriptorStore
from storage.errors import StorageError
from storage.images import list_images
from storage.index import StoredImage
from storage.videos import Clip, Frame
from tasks.config import ExtractConfig
from tasks.describe import grid_of, model_of
from tasks.model import resolve_device
from tasks.ops.patch_grid import PatchGrid
from tasks.ops.preprocess import to_batch, to_canvas
from tasks.ops.vit import extract_facets
from tasks.ops.vit_shifted import extract_shifted
from tasks.stored import stored_grid
from tasks.video_config import PropagateConfig

_COMPUTE = threading.Lock()  # one forward pass at a time, as in `tasks.describe`
_TOGETHER = 4  # frames of a pass on a GPU, which one alone keeps waiting for its launches

# What a store decides where descriptors are read from it.
_OF_STORE = (
    *("model", "weights", "layer", "facet", "also", "stride", "stride_x", "size", "fit"),
    *("multiple", "interpolation", "position_resize", "attended"),
)


class Describer(Protocol):
    """Gives the descriptors of one clip's frames, all on one grid.

    together: how many frames are best given at once.
    """

    grid: PatchGrid
    device: str
    together: int

    def __call__(self, frames: Sequence[Frame]) -> Tensor:
        """(B, rows, cols, D) float32 on `device`: each facet of unit length, joined."""
        ...


class Extractor:
    """Describes frames by the network. All are resized to the canvas of `width` x `height`."""

    def __init__(self, config: PropagateConfig, width: int, height: int) -> None:
        self.config = config
        self.model = model_of(config)
        self.grid = grid_of(config, self.model.patch, width, height)
        self.device = self.model.device
        self.together = _TOGETHER if self.device.startswith("cuda") else 1
        self._resizing = ThreadPoolExecutor(self.together)

    def __call__(self, frames: Sequence[Frame]) -> Tensor:
        """See `Describer`."""
        config, model = self.config, self.model
        canvases = self._resizing.map(
            lambda f: to_canvas(pixels_of(f), self.grid, config.interpolation), frames
        )
        batch = to_batch(list(canvases), model.mean, model.std, model.device)
        batch = batch.to(getattr(torch, model.precision))
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
                    attended=config.attended,
                )
            else:
                facets = extract_facets(
                    model.module,
                    batch,
                    requests,
                    stride=config.strides,
                    position_resize=how,
                    attended=config.attended,
                ).facets
            return _joined([facets[request].float() for request in requests])


class StoredDescriptors:
    """Reads a clip's descriptors from the store that `config.store` names."""

    def __init__(self, config: PropagateConfig, clip: Clip, width: int, height: int) -> None:
        self._store = open_store(config)
        self._arrays = list(config.arrays)
        self.device = resolve_device(config.device)
        self.together = 1
        by_url = {image.url: image for image in self._store.index().images.values()}
        self._refs = clip.images or tuple(list_images(clip.url))
        self._by_url: dict[str, StoredImage] = by_url
        first = next((by_url[r.url] for r in self._refs if r.url in by_url), None)
        if first is None:
            raise StorageError(self._absent(clip.url))
        self.grid = stored_grid(self._store.info.config, first._replace(width=width, height=height))

    def __call__(self, frames: Sequence[Frame]) -> Tensor:
        """See `Describer`; StorageError where the store lacks a frame as it is now."""
        return torch.stack([self._read(frame) for frame in frames])

    def _read(self, frame: Frame) -> Tensor:
        ref = self._refs[frame.index] if frame.index < len(self._refs) else None
        image = None if ref is None else self._by_url.get(ref.url)
        if ref is None or image is None or image.version != ref.version:
            raise StorageError(self._absent(frame.name))
        if image.grid != self.grid.shape:
            raise StorageError(
                f"{self._store.url}: frame {frame.name} has {image.grid} patches, those before it "
                f"{self.grid.shape}. Leave --store out: frames are then resized to the first one's "
                "size before they are described."
            )
        arrays = [self._store.read(image.name, name) for name in self._arrays]
        return _joined([torch.from_numpy(a.astype(np.float32)).to(self.device) for a in arrays])

    def _absent(self, what: str) -> str:
        return (
            f"{self._store.url}: holds no descriptors of {what} as it is now. Run "
            f"`patchflow extract FRAMES {self._store.url}` again, or leave --store out."
        )


def describer_of(config: PropagateConfig, clip: Clip, frame: Frame) -> Describer:
    """The source of a clip's descriptors; `frame` decides their grid."""
    height, width = pixels_of(frame).shape[:2]
    if config.store is None:
        return Extractor(config, width, height)
    return StoredDescriptors(config, clip, width, height)


def open_store(config: PropagateConfig) -> DescriptorStore:
    """The store of `config`, which must name one."""
    if config.store is None:
        raise RuntimeError("no store is named in these settings")
    return DescriptorStore.open(config.store)


def with_store(config: PropagateConfig) -> PropagateConfig:
    """The settings with what the named store decides; unchanged where none is named.

    Raises:
        StorageError: no store there, or a setting that differs from the default and from it.
    """
    if config.store is None:
        return config
    store = open_store(config)
    made = _settings(store.info.config)
    for name in _OF_STORE:
        wanted, default = getattr(config, name), PropagateConfig.model_fields[name].default
        if wanted not in (default, getattr(made, name)):
            raise StorageError(
                f"{store.url}: was made with {name} = {getattr(made, name)}, this run has "
                f"{name} = {wanted}. Leave that option out, or extract into another store."
            )
    return config.replace(**{name: getattr(made, name) for name in _OF_STORE})


def pixels_of(frame: Frame) -> np.ndarray:
    """(H, W, 3) uint8 of a frame that could be read."""
    if frame.pixels is None:
        raise RuntimeError(f"frame {frame.name} has no pixels")
    return frame.pixels


def _settings(stored: Any) -> ExtractConfig:
    return ExtractConfig(**{name: stored[name] for name in _OF_STORE if name in stored})


def _joined(parts: list[Tensor]) -> Tensor:
    return torch.cat([torch.nn.functional.normalize(p, dim=-1) for p in parts], dim=-1)
