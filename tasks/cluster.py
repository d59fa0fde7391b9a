"""Dataset clustering: k-means over every descriptor of a store, block by block through Dask.

A block is some images of one partition. Each Lloyd step maps `block_sums` over the blocks and
reduces their few sums in the order of the blocks, so memory stays at one image a worker and the
result is the same, bit for bit, whoever computed what. Log-binned descriptors are never built.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from prefect import task

from storage.codebooks import write_codebook
from storage.descriptors import DescriptorStore
from storage.files import join
from storage.results import write_indexed_png, write_json
from tasks.blocks import run_blocks
from tasks.faults import STORAGE_RETRIES
from tasks.ops.draw import palette
from tasks.ops.kmeans import elbow_kmeans, kmeans, squared_distances
from tasks.ops.lloyd import PartialSums, partial_sums, reduce_sums, update_centers
from tasks.ops.patch_grid import unit
from tasks.parts_config import ClusterConfig
from tasks.reuse import remove_others
from tasks.sets import result_stems
from tasks.stored import stored_grid

Block = tuple[str, ...]
CODEBOOK = "codebook.zarr"
SUMMARY = "clusters.json"
_BLOCK = 64  # images
_NEAREST = 8  # images named for each centre
_SEED_RESTARTS = 10
_LEAST_SEEDS = 4000


@dataclass(frozen=True, slots=True)
class BlockLabels:
    """names: of the block's images. sizes: (K,) patches. nearest: (images, K) smallest squared
    distance of an image's patches to each centre. places: (images, K, 2) that patch's centre,
    (x, y) in original pixels.
    """

    names: Block
    sizes: np.ndarray
    nearest: np.ndarray
    places: np.ndarray


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
    jobs = [
        (store, block, centers, config, folder, {name: stems[name] for name in block})
        for block in blocks
    ]
    labelled = run_blocks(label_block, jobs)
    if folder is not None:
        remove_others(folder, (f"{stem}.png" for stem in stems.values()))
    error = total.inertia / max(int(total.counts.sum()), 1)
    write_codebook(
        join(out, CODEBOOK),
        {"centers": centers, "sizes": np.sum([one.sizes for one in labelled], axis=0)},
        {
            "kind": "clusters",
            "error": error,
            "steps": steps,
            "spherical": config.spherical,
            "hierarchy": config.hierarchy,
        },
    )
    write_json(join(out, SUMMARY), _summary(labelled))
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
    wanted = config.seeds
    if config.hierarchy:  # a binned descriptor is so much longer
        wanted = max(_LEAST_SEEDS, wanted // (1 + 8 * config.hierarchy))
    images = names[:: -(-len(names) * 64 // wanted)]
    each = max(1, wanted // len(images))
    sample = np.concatenate([_sample(store, name, each, config) for name in images])
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
        parts = run_blocks(block_sums, [(store, block, centers, config) for block in blocks])
        total = reduce_sums(parts)
        settled = total.inertia >= before * (1 - config.tolerance) and (total.counts > 0).all()
        if settled or steps == config.steps:
            return centers, total, steps
        centers = update_centers(total, centers, spherical=config.spherical)
        before, steps = total.inertia, steps + 1


def block_sums(store: str, block: Block, centers: np.ndarray, config: ClusterConfig) -> PartialSums:
    """One block's part of a Lloyd step, an image at a time."""
    opened = DescriptorStore.open(store)
    return reduce_sums(_image_sums(_read(opened, name), centers, config) for name in block)


def label_block(
    store: str,
    block: Block,
    centers: np.ndarray,
    config: ClusterConfig,
    folder: str | None,
    stems: Mapping[str, str],
) -> BlockLabels:
    """Label one block's patches; write its label maps, one pixel a patch, below `folder`."""
    opened = DescriptorStore.open(store)
    sizes = np.zeros(len(centers), dtype=np.int64)
    nearest = np.empty((len(block), len(centers)), dtype=np.float32)
    places = np.empty((len(block), len(centers), 2))
    for number, name in enumerate(block):
        distances = image_distances(opened, name, centers, config)
        labels = distances.argmin(axis=2)
        sizes += np.bincount(labels.ravel(), minlength=len(centers))
        flat = distances.reshape(-1, len(centers))
        nearest[number] = flat.min(axis=0)
        row_col = np.stack(np.divmod(flat.argmin(axis=0), labels.shape[1]), axis=1)
        places[number] = stored_grid(opened.info.config, opened.find(name)).to_xy(row_col)
        if folder is not None:
            path = join(folder, f"{stems[name]}.png")
            write_indexed_png(path, labels.astype(np.uint8), palette(len(centers)))
    return BlockLabels(block, sizes, nearest, places)


def _image_sums(maps: np.ndarray, centers: np.ndarray, config: ClusterConfig) -> PartialSums:
    if config.hierarchy:
        from tasks.ops.binned_lloyd import binned_sums  # torch, for those who need it

        return binned_sums(maps, centers, config.hierarchy, spherical=config.spherical)
    return partial_sums(_points(maps, config), centers)


def image_distances(
    store: DescriptorStore, name: str, centers: np.ndarray, config: ClusterConfig
) -> np.ndarray:
    """Squared distances (rows, cols, K) of an image's patches to all centres."""
    maps = _read(store, name)
    if config.hierarchy:
        from tasks.ops.binned_lloyd import binned_distances

        return binned_distances(maps, centers, config.hierarchy, spherical=config.spherical)
    return squared_distances(_points(maps, config), centers).reshape(*maps.shape[:2], -1)


def _sample(store: DescriptorStore, name: str, count: int, config: ClusterConfig) -> np.ndarray:
    """`count` evenly spaced descriptors of an image, or all."""
    maps = _read(store, name)
    patches = maps.shape[0] * maps.shape[1]
    chosen = np.linspace(0, patches - 1, min(count, patches)).round().astype(int)
    if config.hierarchy:
        from tasks.ops.binned_lloyd import binned_points

        return binned_points(maps, chosen, config.hierarchy, spherical=config.spherical)
    return _points(maps, config)[chosen]


def _points(maps: np.ndarray, config: ClusterConfig) -> np.ndarray:
    flat = maps.reshape(-1, maps.shape[-1])
    return unit(flat) if config.spherical else flat


def _read(store: DescriptorStore, name: str) -> np.ndarray:
    return store.read(name, "descriptors").astype(np.float32)


def _summary(labelled: Sequence[BlockLabels]) -> list[dict[str, Any]]:
    """Size and nearest images of every cluster, each with where its nearest patch lies."""
    names = [name for one in labelled for name in one.names]
    nearest = np.concatenate([one.nearest for one in labelled])
    places = np.concatenate([one.places for one in labelled]).round(2)
    sizes = np.sum([one.sizes for one in labelled], axis=0)
    rows = []
    for cluster, size in enumerate(sizes):
        order = np.argsort(nearest[:, cluster], kind="stable")[:_NEAREST]
        found = [
            {
                "name": names[i],
                "squared_distance": float(nearest[i, cluster]),
                "x": float(places[i, cluster, 0]),
                "y": float(places[i, cluster, 1]),
            }
            for i in order
        ]
        rows.append({"cluster": cluster, "patches": int(size), "nearest": found})
    return rows
