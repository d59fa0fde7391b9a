"""Extraction tasks: plan, compute one partition, record what could not be read."""

import time
import traceback
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
from prefect import task

from storage.descriptors import ArraySpec, DescriptorStore, Failure
from storage.errors import UnreadableImageError
from storage.images import ImageRef, list_images, read_image
from storage.planning import Partition
from storage.reader import SCALE_SUFFIX
from tasks.config import ExtractConfig
from tasks.describe import describe_canvases, grid_of, model_of
from tasks.faults import STORAGE_RETRIES
from tasks.model import LoadedModel
from tasks.ops.patch_grid import PatchGrid
from tasks.ops.preprocess import to_canvas
from tasks.pack import bases_of, ensure_bases, pack
from tasks.plan import ExtractionPlan, plan_extraction

_READERS = 4
_AXES = {"cls": ("cls_channel",)}
_AXES_BY_RANK = {1: ("channel",), 2: ("row", "col"), 3: ("row", "col", "channel")}


@dataclass(frozen=True, slots=True)
class PartitionReport:
    """What became of one partition.

    stored, failed: images. reasons: (name, reason) of the failed ones. bytes: of descriptors.
    seconds: wall time. raced: another run committed it first.
    """

    id: str
    stored: int
    failed: int
    reasons: tuple[tuple[str, str], ...]
    bytes: int
    seconds: float
    raced: bool = False


@dataclass(frozen=True, slots=True)
class _Prepared:
    ref: ImageRef
    grid: PatchGrid
    canvas: np.ndarray


@task(name="plan", task_run_name="plan {source}", **STORAGE_RETRIES)
def plan(
    source: str, store: str, config: ExtractConfig, only: tuple[str, ...] | None = None
) -> ExtractionPlan:
    """List the source and find what the store lacks, of `only` the named images if given."""
    listed = list_images(source)
    if only is not None:
        wanted = frozenset(only)
        listed = [ref for ref in listed if ref.name in wanted]
    made = plan_extraction(listed, source, store, config, partial=only is not None)
    opened = DescriptorStore.open(store)
    opened.record_failures(made.unreadable)
    opened.mark_gone(made.gone)
    if made.config.pca is not None:
        ensure_bases(store, made.partitions, made.config)
    return made


@task(name="extract-partition", tags=["patchflow-extract"], **STORAGE_RETRIES)
def extract_partition(store: str, partition: Partition, config: ExtractConfig) -> PartitionReport:
    """Compute and commit one partition, unless that is done already."""
    return write_partition(DescriptorStore.open(store), partition, config)


def write_partition(
    store: DescriptorStore, partition: Partition, config: ExtractConfig
) -> PartitionReport:
    """Read, describe and store the images of `partition`; unreadable ones become failures."""
    started = time.perf_counter()
    standing = store.committed(partition.id)
    if standing is not None:
        reasons = tuple((mark.name, mark.reason) for mark in standing.marks)
        return PartitionReport(
            partition.id, len(standing.images), len(reasons), reasons, 0, 0.0, raced=True
        )
    model = model_of(config)
    failures: list[Failure] = []
    bases = bases_of(store.url, config)
    writer = store.begin(partition, array_specs(config, model, partition.grid))
    size = 0
    for batch in _batches(_prepare_all(partition, config, model, failures), config.batch):
        outputs = describe_canvases([item.canvas for item in batch], config, model)
        for item, arrays in zip(batch, outputs, strict=True):
            packed = pack(arrays, config, bases)
            writer.append(item.ref, *item.grid.image, packed)
            size += sum(array.nbytes for array in packed.values())
    commit = writer.commit(failures)
    reasons = tuple((mark.name, mark.reason) for mark in commit.marks)
    seconds = time.perf_counter() - started
    return PartitionReport(partition.id, len(commit.images), len(reasons), reasons, size, seconds)


def array_specs(
    config: ExtractConfig, model: LoadedModel, grid: tuple[int, int]
) -> list[ArraySpec]:
    """The arrays of a partition under these settings."""
    channels = config.pca or model.channels
    shapes: dict[str, tuple[tuple[int, ...], str]] = {}
    for name in config.arrays:
        shapes[name] = ((*grid, channels), config.dtype)
        if config.dtype == "int8":
            shapes[name + SCALE_SUFFIX] = ((channels,), "float32")
    if model.module.cls_token is not None:
        shapes["cls"] = ((model.channels,), config.computed_dtype)
    shapes["saliency"] = (grid, "float32")
    return [
        ArraySpec(name, _AXES.get(name, _AXES_BY_RANK[len(shape)]), shape, dtype)
        for name, (shape, dtype) in shapes.items()
    ]


def _prepare_all(
    partition: Partition, config: ExtractConfig, model: LoadedModel, failures: list[Failure]
) -> Iterator[_Prepared]:
    """Canvases in the partition's order, read ahead by a few images; failures are set aside."""
    refs = iter(image.ref for image in partition.images)
    with ThreadPoolExecutor(_READERS) as pool:
        ahead: deque[Future[_Prepared | Failure]] = deque()

        def submit(more: Iterable[ImageRef]) -> None:
            ahead.extend(
                pool.submit(_prepare, ref, partition.grid, config, model.patch) for ref in more
            )

        submit(islice(refs, 2 * config.batch + _READERS))
        try:
            while ahead:
                prepared = ahead.popleft().result()
                submit(islice(refs, 1))
                if isinstance(prepared, Failure):
                    failures.append(prepared)
                else:
                    yield prepared
        finally:
            for future in ahead:
                future.cancel()


def _prepare(
    ref: ImageRef, expected: tuple[int, int], config: ExtractConfig, patch: int
) -> _Prepared | Failure:
    try:
        image = read_image(ref, max_pixels=config.max_pixels)
    except UnreadableImageError as error:
        return Failure(ref, error.reason, traceback.format_exc(limit=-3))
    grid = grid_of(config, patch, image.shape[1], image.shape[0])
    if grid.shape != expected:
        return Failure(ref, "changed while the run went on: its size is not the one planned")
    return _Prepared(ref, grid, to_canvas(image, grid, config.interpolation))


def _batches(items: Iterator[_Prepared], size: int) -> Iterator[list[_Prepared]]:
    while batch := list(islice(items, size)):
        yield batch


def known_failures(store: str, made: ExtractionPlan) -> tuple[tuple[str, str], ...]:
    """(name, reason) of images that an earlier run could not read and this one left alone."""
    if not made.failed_before:
        return ()
    failures = DescriptorStore.open(store).index().failures
    return tuple((mark.name, mark.reason) for mark in failures)
