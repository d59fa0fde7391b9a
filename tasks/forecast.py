"""What an extraction would do and need, without doing it: the answer of a dry run."""

import resource
import sys
from collections import Counter
from dataclasses import dataclass

from storage.commits import recent_rate
from storage.containers import Listings
from storage.descriptors import DescriptorStore
from storage.files import exists, join
from storage.images import list_images
from storage.layout import ArraySpec
from storage.writer import shard_images
from tasks.config import ExtractConfig
from tasks.cost import predicted_seconds, requests
from tasks.describe import batch_size, model_of
from tasks.extract import array_specs
from tasks.plan import ExtractionPlan, draft_extraction

# Live at once in a transformer block, in channels a token: the residual and its normalised copy,
# queries, keys, values and their attention, the hidden layer before and after its nonlinearity.
_LIVE_CHANNELS = 2 + 4 + 2 * 4
# A shard is there as images, as one block and as encoded bytes.
_SHARD_COPIES = 3
_ALLOCATOR = 1.25
# What the allocators of the threads that read and write keep of what was freed (drills/memory.py).
_KEPT = 64 * 2**20
_DECODED = 12  # images that are decoded ahead or in hand, of every size


@dataclass(frozen=True, slots=True)
class Forecast:
    """A plan in figures.

    images, partitions: to be computed. grids: (rows, cols) with the number of images of each.
    bytes: of the arrays before compression. memory: peak bytes of a worker process, projected.
    reads, objects: requests for images, and objects written. seconds: with one worker, at the
    rate of this store's newest partitions, or `tried` on a few images where there are none.
    unchanged, gone, unreadable: images.
    """

    images: int
    partitions: int
    grids: tuple[tuple[tuple[int, int], int], ...]
    bytes: int
    memory: int
    reads: int
    objects: int
    seconds: float | None
    tried: bool
    unchanged: int
    gone: int
    unreadable: int

    @property
    def lines(self) -> tuple[str, ...]:
        """For the terminal."""
        shown = ", ".join(f"{rows}x{cols} ({count})" for (rows, cols), count in self.grids[:8])
        more = f", ... ({len(self.grids)} grids in all)" if len(self.grids) > 8 else ""
        took = "unknown: none of the images tried could be read"
        if self.seconds is not None:
            source = "by a trial of a few images" if self.tried else "at the rate of the last run"
            took = f"{self.seconds:.0f} s with one worker, {source}"
        return (
            f"images      {self.images} to compute, {self.unchanged} stored, {self.gone} gone, "
            f"{self.unreadable} unreadable",
            f"partitions  {self.partitions}",
            f"grids       {shown or 'none'}{more}",
            f"bytes       {self.bytes / 1e6:.1f} MB before compression",
            f"requests    {self.reads} reads of images, {self.objects} objects written",
            f"memory      {self.memory / 1e6:.0f} MB for each worker",
            f"time        {took}",
        )


def forecast(images: str, store: str, config: ExtractConfig) -> Forecast:
    """Plan an extraction and write nothing.

    Args:
        images: as of `extract`.
        store: may not exist yet.
        config: likewise.
    """
    there = exists(join(store, "store.json"))
    listed = list_images(images, Listings(store, write=False))
    plan = draft_extraction(listed, images, store, config)
    grids = Counter[tuple[int, int]]()
    for partition in plan.partitions:
        grids[partition.grid] += len(partition.images)
    model = model_of(plan.config)
    specs = {grid: array_specs(plan.config, model, grid) for grid in grids}
    rate = None
    if there:
        opened = DescriptorStore.open(store)
        rate = recent_rate(store, opened.partitions())
    reads, objects = requests(plan.partitions, specs)
    return Forecast(
        images=plan.images,
        partitions=len(plan.partitions),
        grids=tuple(sorted(grids.items())),
        bytes=sum(
            count * sum(spec.nbytes for spec in specs[grid]) for grid, count in grids.items()
        ),
        memory=projected_memory(plan, specs),
        reads=reads,
        objects=objects,
        seconds=plan.images / rate if rate else predicted_seconds(plan),
        tried=not rate,
        unchanged=plan.unchanged,
        gone=len(plan.gone),
        unreadable=len(plan.unreadable),
    )


def projected_memory(plan: ExtractionPlan, specs: dict[tuple[int, int], list[ArraySpec]]) -> int:
    """Peak bytes of a worker: this process with its model, and the largest grid's work on top.

    One batch runs at a time, and one shard of every array is held; neither depends on how many
    images there are.
    """
    model = model_of(plan.config)
    size = 2 if model.precision in ("bfloat16", "float16") else 4
    largest = 0
    for partition in plan.partitions:
        arrays = specs[partition.grid]
        tokens = partition.grid[0] * partition.grid[1]
        batch = min(batch_size(plan.config, model, partition.grid), len(partition.images))
        compute = batch * tokens * model.channels * size * _LIVE_CHANNELS
        outputs = 2 * batch * sum(spec.nbytes for spec in arrays)
        shards = _SHARD_COPIES * sum(
            spec.nbytes * shard_images(spec, len(partition.images)) for spec in arrays
        )
        pixels = max(1_000_000, *(image.width * image.height for image in partition.images))
        decoded = 3 * pixels * (_DECODED + 2 * batch)
        largest = max(largest, compute + outputs + shards + decoded)
    return own_peak() + _KEPT + int(_ALLOCATOR * largest)


def own_peak() -> int:
    """Peak resident bytes of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
