"""Images of a partition, read and decoded ahead of the model: canvases, batch by batch.

Decoding on the GPU (nvJPEG) was tried and is no option: tests/benchmarks/RESULTS.md.
"""

import functools
import time
import traceback
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby, islice

import numpy as np
import torch

from storage.errors import UnreadableImageError
from storage.images import read_image
from storage.marks import Failure
from storage.planning import Partition
from storage.refs import ImageRef
from tasks.config import ExtractConfig
from tasks.describe import grid_of
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

    canvas: (H, W, 3) uint8. wall, cpu: seconds that reading and decoding took, and those of them
    in which a core worked.
    """

    ref: ImageRef
    grid: PatchGrid
    canvas: np.ndarray
    wall: float
    cpu: float


def read_batches(
    partition: Partition, config: ExtractConfig, patch: int, batch: int, failures: list[Failure]
) -> Iterator[list[Prepared]]:
    """The partition's images in its order, at most `batch` at a time and all of one canvas;
    unreadable ones go to `failures`.

    Images of one grid have canvases of several sizes where sides need not be whole patches.
    """
    prepared = _read_ahead(partition, config, patch, batch, failures)
    while items := list(islice(prepared, batch)):
        for _, alike in groupby(items, key=lambda item: item.canvas.shape):
            yield list(alike)


@functools.cache
def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(READERS, thread_name_prefix="read")


def _read_ahead(
    partition: Partition, config: ExtractConfig, patch: int, batch: int, failures: list[Failure]
) -> Iterator[Prepared]:
    """In the partition's order, read ahead by two batches."""
    refs = iter(image.ref for image in partition.images)
    reading: deque[Future[Prepared | Failure]] = deque()

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
) -> Prepared | Failure:
    started, computed = time.perf_counter(), time.thread_time()
    grids: list[PatchGrid] = []

    def needed(width: int, height: int) -> tuple[int, int]:
        grids.append(grid_of(config, patch, width, height))
        resized = grids[0].resized
        return _DRAFT * resized[0], _DRAFT * resized[1]

    try:
        image = read_image(ref, max_pixels=config.max_pixels, at_least=needed)
    except UnreadableImageError as error:
        return Failure(ref, error.reason, traceback.format_exc(limit=-3))
    grid = grids[0] if grids else grid_of(config, patch, image.shape[1], image.shape[0])
    if grid.shape != expected:
        return Failure(ref, "changed while the run went on: its size is not the one planned")
    canvas = to_canvas(image, grid, config.interpolation)
    wall, cpu = time.perf_counter() - started, time.thread_time() - computed
    return Prepared(ref, grid, canvas, wall, cpu)
