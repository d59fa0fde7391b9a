"""Images of a partition, read and decoded ahead of the model: canvases, batch by batch."""

import functools
import time
import traceback
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from storage.errors import UnreadableImageError
from storage.headers import jpeg_header
from storage.images import decode_image, is_frame, read_image, read_member
from storage.marks import Failure
from storage.planning import Partition
from storage.refs import ImageRef
from tasks.config import ExtractConfig
from tasks.describe import grid_of
from tasks.gpu_decode import Encoded, decode_jpegs
from tasks.model import LoadedModel
from tasks.ops.patch_grid import PatchGrid
from tasks.ops.preprocess import to_canvas

# Threads that read and decode, shared by the partitions that a process has in hand: as many as
# it has cores for itself, which PyTorch learns from whoever started it.
READERS = max(4, torch.get_num_threads())
# Pixels that a picture keeps when it is decoded small, for each of those it is resized to.
_DRAFT = 2


@dataclass(frozen=True, slots=True)
class Prepared:
    """One image, ready for the model.

    canvas: (H, W, 3) uint8, on the GPU where that decoded it. wall, cpu: seconds that reading and
    decoding took, and those of them in which a core, or the GPU, worked.
    """

    ref: ImageRef
    grid: PatchGrid
    canvas: np.ndarray | Tensor
    wall: float
    cpu: float


@dataclass(frozen=True, slots=True)
class _Read:
    """A JPEG file that the GPU is to decode."""

    ref: ImageRef
    grid: PatchGrid
    encoded: Encoded
    wall: float
    cpu: float


def check_decoder(config: ExtractConfig, model: LoadedModel) -> None:
    """Raises ValueError where the settings' decoder cannot work on the model's device."""
    if config.decoder == "nvjpeg" and not model.device.startswith("cuda"):
        raise ValueError(
            f"decoder nvjpeg needs an NVIDIA GPU, and this process works on {model.device}; run "
            "where there is one, or make a store with --decoder pillow"
        )


def read_batches(
    partition: Partition,
    config: ExtractConfig,
    model: LoadedModel,
    batch: int,
    failures: list[Failure],
) -> Iterator[list[Prepared]]:
    """The partition's images in its order, `batch` at a time; unreadable ones go to `failures`."""
    read = _read_ahead(partition, config, model.patch, batch, failures)
    while items := list(islice(read, batch)):
        waiting = [item for item in items if isinstance(item, _Read)]
        decoded = iter(_decode_on_gpu(waiting, config, model, failures))
        ready = [next(decoded) if isinstance(item, _Read) else item for item in items]
        if prepared := [item for item in ready if item is not None]:
            yield [_on_device(item, model) if waiting else item for item in prepared]


@functools.cache
def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(READERS, thread_name_prefix="read")


def _read_ahead(
    partition: Partition, config: ExtractConfig, patch: int, batch: int, failures: list[Failure]
) -> Iterator[Prepared | _Read]:
    """In the partition's order, read ahead by two batches."""
    refs = iter(image.ref for image in partition.images)
    reading: deque[Future[Prepared | _Read | Failure]] = deque()

    def submit(more: Iterable[ImageRef]) -> None:
        reading.extend(
            _readers().submit(_prepare, ref, partition.grid, config, patch) for ref in more
        )

    submit(islice(refs, 2 * batch + READERS))
    try:
        while reading:
            prepared = reading.popleft().result()
            submit(islice(refs, 1))
            if isinstance(prepared, Failure):
                failures.append(prepared)
            else:
                yield prepared
    finally:
        for future in reading:
            future.cancel()


def _prepare(
    ref: ImageRef, expected: tuple[int, int], config: ExtractConfig, patch: int
) -> Prepared | _Read | Failure:
    started, computed = time.perf_counter(), time.thread_time()
    try:
        if config.decoder == "nvjpeg" and (found := _encoded(ref, config)) is not None:
            grid = grid_of(config, patch, *found.header.upright)
            if grid.shape != expected:
                return _changed(ref)
            return _Read(ref, grid, found, *_since(started, computed))
        image, grid = _decoded(ref, config, patch)
    except UnreadableImageError as error:
        return Failure(ref, error.reason, traceback.format_exc(limit=-3))
    if grid.shape != expected:
        return _changed(ref)
    canvas = to_canvas(image, grid, config.interpolation)
    return Prepared(ref, grid, canvas, *_since(started, computed))


def _decoded(ref: ImageRef, config: ExtractConfig, patch: int) -> tuple[np.ndarray, PatchGrid]:
    grids: list[PatchGrid] = []

    def needed(width: int, height: int) -> tuple[int, int]:
        grids.append(grid_of(config, patch, width, height))
        resized = grids[0].resized
        return _DRAFT * resized[0], _DRAFT * resized[1]

    image = read_image(ref, max_pixels=config.max_pixels, at_least=needed)
    return image, grids[0] if grids else grid_of(config, patch, image.shape[1], image.shape[0])


def _encoded(ref: ImageRef, config: ExtractConfig) -> Encoded | None:
    """The bytes of an image that the GPU can decode; None for others."""
    if is_frame(ref):
        return None
    data = read_member(ref)
    header = jpeg_header(data, ref.name, max_pixels=config.max_pixels)
    return None if header is None else Encoded(data, header)


def _decode_on_gpu(
    items: list[_Read], config: ExtractConfig, model: LoadedModel, failures: list[Failure]
) -> list[Prepared | None]:
    """Canvases on the GPU; None, and a failure, for files that are broken inside."""
    if not items:
        return []
    began = time.perf_counter()
    encoded, grids = [item.encoded for item in items], [item.grid for item in items]
    canvases = decode_jpegs(encoded, grids, config.interpolation, model.device)
    each = (time.perf_counter() - began) / len(items)
    found: list[Prepared | None] = []
    for item, canvas in zip(items, canvases, strict=True):
        made: np.ndarray | Tensor | None = canvas
        if canvas is None:  # what the GPU refuses, Pillow may read, or say what is wrong
            made = _second_try(item, config, failures)
        found.append(
            None
            if made is None
            else Prepared(item.ref, item.grid, made, item.wall + each, item.cpu + each)
        )
    return found


def _second_try(item: _Read, config: ExtractConfig, failures: list[Failure]) -> np.ndarray | None:
    try:
        image = decode_image(item.encoded.data, item.ref.name, max_pixels=config.max_pixels)
    except UnreadableImageError as error:
        failures.append(Failure(item.ref, error.reason, traceback.format_exc(limit=-3)))
        return None
    return to_canvas(image, item.grid, config.interpolation)


def _on_device(item: Prepared, model: LoadedModel) -> Prepared:
    if isinstance(item.canvas, Tensor):
        return item
    return replace(item, canvas=torch.from_numpy(item.canvas.copy()).to(model.device))


def _changed(ref: ImageRef) -> Failure:
    return Failure(ref, "changed while the run went on: its size is not the one planned")


def _since(started: float, computed: float) -> tuple[float, float]:
    return time.perf_counter() - started, time.thread_time() - computed
