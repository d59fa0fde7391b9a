"""What a planned extraction costs, from its plan and a trial of a few of its images."""

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence

from storage.descriptors import DescriptorStore
from storage.files import remove
from storage.layout import ArraySpec
from storage.planning import Partition
from storage.writer import shard_images
from tasks.config import ExtractConfig
from tasks.describe import batch_size, model_of
from tasks.extract import write_partition
from tasks.model import LoadedModel
from tasks.plan import ExtractionPlan
from tasks.stages import PartitionReport, own_cores

# An operation of attention takes as long as this many of the linear layers, on processors and
# on GPUs alike (tests/benchmarks/RESULTS.md): its products are small and softmax comes on top.
_ATTENTION = 1.7
_TRIAL_IMAGES = 8
_TRIAL_BATCHES = 2


def operations(config: ExtractConfig, model: LoadedModel, grid: tuple[int, int]) -> float:
    """Weighted floating-point operations of one image's forward pass.

    A block multiplies each token by 12 D^2 weights and attends to all others twice.
    """
    layers = [request.layer for request in config.arrays.values()]
    last = model.depth - 1 if config.saliency_layer is None else config.saliency_layer
    blocks = max(*layers, last) + 1
    tokens, channels = grid[0] * grid[1] + 1, model.channels
    linear = 24.0 * tokens * channels**2
    attention = 4.0 * tokens**2 * channels
    return blocks * (linear + _ATTENTION * attention)


def predicted_seconds(plan: ExtractionPlan) -> float | None:
    """Seconds of the planned work in one worker; None where a trial cannot be made.

    A few images of the grid with most of the work are read, computed and written to memory; the
    other grids follow by their operations. Takes a few seconds.
    """
    model = model_of(plan.config)
    work: Counter[tuple[int, int]] = Counter()
    for partition in plan.partitions:
        each = operations(plan.config, model, partition.grid)
        work[partition.grid] += round(each * len(partition.images))
    if not work:
        return 0.0
    grid = work.most_common(1)[0][0]
    seconds = _seconds_each(plan, model, grid)
    if seconds is None:
        return None
    return seconds * sum(work.values()) / operations(plan.config, model, grid)


def _seconds_each(plan: ExtractionPlan, model: LoadedModel, grid: tuple[int, int]) -> float | None:
    images = [image for part in plan.partitions if part.grid == grid for image in part.images]
    on_gpu = model.device.startswith("cuda")
    batch = batch_size(plan.config, model, grid)
    count = min(len(images), _TRIAL_BATCHES * batch if on_gpu else min(batch, _TRIAL_IMAGES))
    config = plan.config.replace(pca=None)
    url = f"memory://trial-{uuid.uuid4().hex}"
    store = DescriptorStore.create_or_open(url, {}, {}, {})
    step = max(1, len(images) // count)
    try:
        # The first one finds everything cold.
        write_partition(store, Partition("warm", grid, tuple(images[:count])), config)
        tried = Partition("trial", grid, tuple(images[::step][:count]))
        report = write_partition(store, tried, config)
    finally:
        remove(url)
    return _of_a_long_run(report, on_gpu=on_gpu) / report.stored if report.stored else None


def _of_a_long_run(report: PartitionReport, *, on_gpu: bool) -> float:
    """The trial's seconds if all its stages had overlapped, as they do after the first batches."""
    done = report.stages
    if on_gpu:
        return max(done.compute, (done.fetch + done.decode) / done.readers, done.write)
    return done.compute + (done.decode + done.write) / own_cores() + done.fetch / done.readers


def requests(
    partitions: Sequence[Partition], specs: Mapping[tuple[int, int], Sequence[ArraySpec]]
) -> tuple[int, int]:
    """(reads of images, objects written) of a plan whose images can all be read."""
    reads = written = 0
    for partition in partitions:
        count, arrays = len(partition.images), specs[partition.grid]
        reads += count
        shards = sum(-(-count // shard_images(spec, count)) for spec in arrays)
        # Metadata of the group and of each array, and the commit.
        written += shards + len(arrays) + 2
    return reads, written
