"""Dataset clustering: k-means over every descriptor of a store, block by block through Dask.

A block is some images of one partition. Each Lloyd step maps `block_sums` over the blocks and
reduces their few sums in the order of the blocks, so memory stays at one image a worker and the
result is the same, bit for bit, whoever computed what.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import dask
import numpy as np
from distributed import get_worker, worker_client
from prefect import task

from storage.codebooks import write_codebook
from storage.descriptors import DescriptorStore
from storage.files import join
from storage.results import write_indexed_png, write_json
from tasks.faults import STORAGE_RETRIES
from tasks.ops.draw import palette
from tasks.ops.kmeans import assign, elbow_kmeans, kmeans, squared_distances
from tasks.ops.lloyd import PartialSums, partial_sums, reduce_sums, update_centers
from tasks.ops.patch_grid import unit
from tasks.parts_config import ClusterConfig
from tasks.sets import result_stems

Block = tuple[str, ...]
R = TypeVar("R")
CODEBOOK = "codebook.zarr"
_BLOCK = 64  # images
_NEAREST = 8  # images named for each centre
_SEED_RESTARTS = 10


@dataclass(frozen=True, slots=True)
class BlockLabels:
    """names: of the block's images. sizes: (K,) patches. nearest: (images, K) smallest squared
    distance of an image's patches to each centre.
    """

    names: Block
    sizes: np.ndarray
    nearest: np.ndarray


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """What a clustering came to. error: mean squared distance. steps: Lloyd steps taken."""

    clusters: int
    images: int
    patches: int
    error: float
    steps: int
    seconds: float


@task(name="cluster-store", tags=["patchflow-cluster"], **STORAGE_RETRIES)
def cluster_store(store: str, out: str, config: ClusterConfig) -> ClusterReport:
    """Write ``OUT/codebook.zarr``, ``OUT/clusters.json`` and ``OUT/labels/<stem>.png``.

    Raises:
        ValueError: an empty store, or more clusters than an indexed PNG has colours.
    """
    started = time.perf_counter()
    opened = DescriptorStore.open(store)
    blocks = plan_blocks(opened)
    if not blocks:
        raise ValueError(f"{store} holds no images to cluster; run `patchflow extract` first")
    if config.label_maps and (config.clusters or config.max_clusters) > 256:
        raise ValueError("label maps hold at most 256 clusters: add --no-label-maps, or take fewer")
    centers = first_centers(opened, config)
    centers, total, steps = lloyd(store, blocks, centers, config)
    folder = join(out, "labels") if config.label_maps else None
    stems = result_stems(name for block in blocks for name in block)
    jobs = [(store, block, centers, config.spherical, folder, stems) for block in blocks]
    labelled = run_blocks(label_block, jobs)
    error = total.inertia / max(int(total.counts.sum()), 1)
    write_codebook(
        join(out, CODEBOOK),
        {"centers": centers, "sizes": np.sum([one.sizes for one in labelled], axis=0)},
        {"kind": "clusters", "error": error, "steps": steps, "spherical": config.spherical},
    )
    write_json(join(out, "clusters.json"), _summary(labelled))
    return ClusterReport(
        clusters=len(centers),
        images=sum(map(len, blocks)),
        patches=int(total.counts.sum()),
        error=error,
        steps=steps,
        seconds=time.perf_counter() - started,
    )


def plan_blocks(store: DescriptorStore) -> list[Block]:
    """The store's images in blocks of one partition each, in an order of the store alone."""
    blocks = []
    for _, images in sorted(store.index().members().items()):
        names = iter(image.name for image in images)
        while block := tuple(islice(names, _BLOCK)):
            blocks.append(block)
    return blocks


def first_centers(store: DescriptorStore, config: ClusterConfig) -> np.ndarray:
    """Centres (K, D) from evenly spaced descriptors, by scikit-learn; K by the elbow if open."""
    names = list(store.index())
    images = names[:: -(-len(names) * 64 // config.seeds)]
    each = max(1, config.seeds // len(images))
    sample = np.concatenate([_spaced(_read(store, n, config.spherical), each) for n in images])
    if config.clusters is not None:
        return kmeans(sample, config.clusters, seed=config.seed, restarts=_SEED_RESTARTS)
    return elbow_kmeans(
        sample,
        max_clusters=config.max_clusters,
        elbow=config.elbow,
        sample_step=1,
        seed=config.seed,
        restarts=3,
    ).centers


def lloyd(
    store: str, blocks: Sequence[Block], centers: np.ndarray, config: ClusterConfig
) -> tuple[np.ndarray, PartialSums, int]:
    """Lloyd steps over all blocks until the error settles: centres, their sums, steps taken."""
    before, steps = np.inf, 0
    while True:
        jobs = [(store, block, centers, config.spherical) for block in blocks]
        parts = run_blocks(block_sums, jobs)
        total = reduce_sums(parts)
        settled = total.inertia >= before * (1 - config.tolerance) and (total.counts > 0).all()
        if settled or steps == config.steps:
            return centers, total, steps
        centers = update_centers(total, centers, spherical=config.spherical)
        before, steps = total.inertia, steps + 1


def block_sums(store: str, block: Block, centers: np.ndarray, spherical: bool) -> PartialSums:
    """One block's part of a Lloyd step, an image at a time."""
    opened = DescriptorStore.open(store)
    return reduce_sums(partial_sums(_read(opened, name, spherical), centers) for name in block)


def label_block(
    store: str,
    block: Block,
    centers: np.ndarray,
    spherical: bool,
    folder: str | None,
    stems: dict[str, str],
) -> BlockLabels:
    """Label one block's patches; write its label maps, one pixel a patch, below `folder`."""
    opened = DescriptorStore.open(store)
    sizes = np.zeros(len(centers), dtype=np.int64)
    nearest = np.empty((len(block), len(centers)), dtype=np.float32)
    for number, name in enumerate(block):
        points = _read(opened, name, spherical)
        labels = assign(points, centers)
        sizes += np.bincount(labels, minlength=len(centers))
        nearest[number] = squared_distances(points, centers).min(axis=0)
        if folder is not None:
            grid = opened.index().partitions[opened.find(name).partition].grid
            path = join(folder, f"{stems[name]}.png")
            write_indexed_png(path, labels.reshape(grid), palette(len(centers)))
    return BlockLabels(block, sizes, nearest)


def run_blocks(function: Callable[..., R], jobs: Sequence[tuple[Any, ...]]) -> list[R]:
    """`function` on every job's arguments, results in the jobs' order.

    On the Dask cluster that this task runs on, whose scheduler gives a dead worker's jobs to
    another; else on this process's threads.
    """
    delayed = [dask.delayed(function, pure=False)(*job) for job in jobs]
    try:
        get_worker()
    except ValueError:
        return list(dask.compute(*delayed, scheduler="threads", num_workers=2))
    with worker_client() as client:
        return list(client.gather(client.compute(delayed)))


def _summary(labelled: Sequence[BlockLabels]) -> list[dict[str, Any]]:
    """Size and nearest images of every cluster."""
    names = [name for one in labelled for name in one.names]
    nearest = np.concatenate([one.nearest for one in labelled])
    sizes = np.sum([one.sizes for one in labelled], axis=0)
    rows = []
    for cluster, size in enumerate(sizes):
        order = np.argsort(nearest[:, cluster], kind="stable")[:_NEAREST]
        found = [{"name": names[i], "squared_distance": float(nearest[i, cluster])} for i in order]
        rows.append({"cluster": cluster, "patches": int(size), "nearest": found})
    return rows


def _read(store: DescriptorStore, name: str, spherical: bool) -> np.ndarray:
    flat = store.read(name, "descriptors")
    flat = flat.reshape(-1, flat.shape[-1]).astype(np.float32)
    return unit(flat) if spherical else flat


def _spaced(points: np.ndarray, count: int) -> np.ndarray:
    return points[np.linspace(0, len(points) - 1, min(count, len(points))).round().astype(int)]
