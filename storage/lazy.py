"""A whole store as one lazy Dask array of patches, one block a partition."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph

from storage.descriptors import DescriptorStore
from storage.errors import StorageError
from storage.index import PartitionInfo
from storage.labelled import read_images
from storage.reader import SCALE_SUFFIX

__all__ = ["PatchArray", "dask_patches"]


@dataclass(frozen=True, slots=True)
class PatchArray:
    """All patches of a store.

    Attributes:
        array: (total patches, D) dask array, float; blocks are partitions in order of their ids.
        ranges: for every image name, its first row and the row after its last.
        grids: for every image name, (rows, cols); its patches run row by row.
    """

    array: Any
    ranges: Mapping[str, tuple[int, int]]
    grids: Mapping[str, tuple[int, int]]


def dask_patches(store: DescriptorStore, array: str = "descriptors") -> PatchArray:
    """The patches of all living images, nothing read yet.

    Dask's own ``from_zarr`` would cut a sharded array into inner chunks, one task an image.

    Args:
        store: any store.
        array: one with axes (image, row, col, channel).

    Raises:
        StorageError: the store is empty, or partitions differ in the array's channels or dtype.
    """
    members = store.members()
    ranges: dict[str, tuple[int, int]] = {}
    grids: dict[str, tuple[int, int]] = {}
    layers: dict[tuple[str, int, int], Any] = {}
    heights: list[int] = []
    kinds = {_kind(store, partition, array) for partition in store.partitions()}
    if len(kinds) != 1:
        raise StorageError(
            f"{store.url}: expected one kind of {array!r} in all partitions, "
            f"found {sorted(kinds) or 'an empty store'}."
        )
    channels, dtype = kinds.pop()
    name = f"patches-{tokenize(store.url, array, sorted(members))}"
    row = 0
    for block, partition in enumerate(store.partitions()):
        images = members[partition.id]
        first = row
        for image in images:
            stop = row + image.grid[0] * image.grid[1]
            ranges[image.name], grids[image.name] = (row, stop), image.grid
            row = stop
        positions = tuple(image.position for image in images)
        layers[name, block, 0] = (read_patches, store.url, partition, array, positions)
        heights.append(row - first)
    graph = HighLevelGraph.from_collections(name, layers)
    chunks = (tuple(heights), (channels,))
    return PatchArray(da.Array(graph, name, chunks, dtype=dtype), ranges, grids)


def read_patches(url: str, partition: PartitionInfo, array: str, positions: tuple[int, ...]) -> Any:
    """(patches, D): the block of one partition; runs on a Dask worker."""
    block = read_images(url, partition, array, positions)
    return block.reshape(-1, block.shape[-1])


def _kind(store: DescriptorStore, partition: PartitionInfo, array: str) -> tuple[int, str]:
    specs = {spec.name: spec for spec in partition.arrays}
    if array not in specs or specs[array].axes != ("row", "col", "channel"):
        raise StorageError(
            f"{store.url}: partition {partition.id} has no array {array!r} of axes "
            f"(row, col, channel); it holds {sorted(specs)}."
        )
    scaled = array + SCALE_SUFFIX in specs
    return specs[array].shape[-1], "float32" if scaled else str(np.dtype(specs[array].dtype))
