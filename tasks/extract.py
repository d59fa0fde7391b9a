"""Extraction tasks: plan, compute one partition, record what could not be read."""

import time
from collections.abc import Iterator

from prefect import get_run_logger, task

from storage.containers import Listings
from storage.descriptors import ArraySpec, DescriptorStore, Failure
from storage.images import list_images
from storage.planning import Partition
from storage.reader import SCALE_SUFFIX
from tasks.axes import bases_of, fit_bases, keep_bases
from tasks.bars import advance
from tasks.chosen import chosen_names
from tasks.config import ExtractConfig
from tasks.describe import Batch, batch_size, model_of, start
from tasks.faults import STORAGE_RETRIES
from tasks.model import LoadedModel
from tasks.overlap import ahead
from tasks.plan import ExtractionPlan, draft_extraction, expected_store
from tasks.reading import READERS, Prepared, read_batches
from tasks.stages import PartitionReport, StageSeconds, clock
from tasks.summary import log_failures, partition_line

# Batches that are computed before the ones that are being written.
_AHEAD = 2
_AXES = {"cls": ("cls_channel",), "heads": ("head", "row", "col")}
_AXES_BY_RANK = {1: ("channel",), 2: ("row", "col"), 3: ("row", "col", "channel")}


@task(name="plan", task_run_name="plan {source}", **STORAGE_RETRIES)
def plan(
    source: str, store: str, config: ExtractConfig, only: tuple[str, ...] | None = None
) -> ExtractionPlan:
    """List the source and find what the store lacks, of `only` the named images if given."""
    listed = list_images(source, Listings(store))
    if only is not None:
        wanted = frozenset(chosen_names(only))
        listed = [ref for ref in listed if ref.name in wanted]
    made = draft_extraction(listed, source, store, config, partial=only is not None)
    opened = expected_store(store, made.config)
    # Whatever may be wrong with the settings shows before the store is made with them.
    bases = fit_bases(opened, made.partitions, made.config)
    opened.create()
    keep_bases(store, bases)
    opened.record_failures(made.unreadable)
    opened.mark_gone(made.gone)
    return made


@task(name="extract-partition", tags=["patchflow-extract"], **STORAGE_RETRIES)
def extract_partition(store: str, partition: Partition, config: ExtractConfig) -> PartitionReport:
    """Compute and commit one partition, unless that is done already; log what it came to."""
    report = write_partition(DescriptorStore.open(store), partition, config)
    log_failures(report.reasons)
    get_run_logger().info(partition_line(report))
    return report


def write_partition(
    store: DescriptorStore, partition: Partition, config: ExtractConfig
) -> PartitionReport:
    """Read, describe and store the images of `partition`; unreadable ones become failures."""
    began = clock()
    standing = store.committed(partition.id)
    if standing is not None:
        reasons = tuple((mark.name, mark.reason) for mark in standing.marks)
        return PartitionReport(
            partition.id, len(standing.images), len(reasons), reasons, 0, 0.0, raced=True
        )
    model = model_of(config)
    failures: list[Failure] = []
    stages = StageSeconds(readers=READERS)
    writer = store.begin(partition, array_specs(config, model, partition.grid))
    size = 0
    for items, batch in ahead(_computed(store.url, partition, config, model, failures), _AHEAD):
        images = batch.images()
        writing = time.perf_counter()
        for item, arrays in zip(items, images, strict=True):
            writer.append(item.ref, *item.grid.image, arrays)
            size += sum(array.nbytes for array in arrays.values())
        advance(len(items))
        stages.write += time.perf_counter() - writing
        stages.compute += batch.seconds
        stages.decode += sum(item.cpu for item in items)
        stages.fetch += sum(max(0.0, item.wall - item.cpu) for item in items)
    writing = time.perf_counter()
    commit = writer.commit(failures)
    stages.write += time.perf_counter() - writing
    reasons = tuple((mark.name, mark.reason) for mark in commit.marks)
    return PartitionReport(
        id=partition.id,
        stored=len(commit.images),
        failed=len(reasons),
        reasons=reasons,
        bytes=size,
        seconds=clock().wall - began.wall,
        raced=commit.attempt != writer.attempt,
        began=began,
        ended=clock(),
        stages=stages,
    )


def _computed(
    url: str,
    partition: Partition,
    config: ExtractConfig,
    model: LoadedModel,
    failures: list[Failure],
) -> Iterator[tuple[list[Prepared], Batch]]:
    bases = {name: basis.axes for name, basis in bases_of(url, config).items()}
    size = batch_size(config, model, partition.grid)
    for items in read_batches(partition, config, model.patch, size, failures):
        canvases = [item.canvas for item in items]
        yield items, start(canvases, config, model, packed=True, bases=bases)


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
    if config.attention_heads:
        shapes["heads"] = ((model.heads, *grid), "float16")
    return [
        ArraySpec(name, _AXES.get(name, _AXES_BY_RANK[len(shape)]), shape, dtype)
        for name, (shape, dtype) in shapes.items()
    ]
