"""A store as xarray datasets: one for each patch grid, named axes, nothing read yet."""

from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph

from storage.descriptors import DescriptorStore
from storage.errors import StorageError
from storage.index import PartitionInfo, StoredImage
from storage.reader import SCALE_SUFFIX, read_block

__all__ = ["open_dataset", "open_datasets"]


def open_datasets(store: DescriptorStore) -> dict[tuple[int, int], Any]:
    """An xarray dataset for every grid (rows, cols) of the store."""
    return {grid: open_dataset(store, grid) for grid in _grids(store)}


def open_dataset(store: DescriptorStore, grid: tuple[int, int] | None = None) -> Any:
    """All living images of one grid as an xarray dataset on Dask arrays, a chunk a partition.

    Args:
        store: any store.
        grid: (rows, cols); may be left out where all images have the same.

    Returns:
        Variables as stored (scaled integers as their float32 values) over ``image``, ``row``,
        ``col``, ``channel``; coordinates ``name``, ``width`` and ``height`` (pixels of the
        original image) along ``image``.

    Raises:
        StorageError: the store holds no image of the grid, or has several and none is named.
    """
    import xarray as xr

    grids = _grids(store)
    if grid is None and len(grids) == 1:
        grid = grids[0]
    if grid not in grids:
        raise StorageError(
            f"{store.url}: expected one of the grids (rows, cols) {grids}, got {grid}."
        )
    partitions = [info for info in store.partitions() if info.grid == grid]
    everything = store.members()
    members = [everything[info.id] for info in partitions]
    images = [image for group in members for image in group]
    specs = {spec.name: spec for spec in partitions[0].arrays}
    variables = {
        name: (("image", *spec.axes), _stacked(store.url, partitions, members, name))
        for name, spec in specs.items()
        if not name.endswith(SCALE_SUFFIX)
    }
    coordinates = {
        "name": ("image", np.array([image.name for image in images], dtype=object)),
        "width": ("image", np.array([image.width for image in images])),
        "height": ("image", np.array([image.height for image in images])),
    }
    return xr.Dataset(variables, coordinates, attrs={"store": store.url})


def _grids(store: DescriptorStore) -> list[tuple[int, int]]:
    return sorted({info.grid for info in store.partitions()})


def _stacked(
    url: str, partitions: Sequence[PartitionInfo], members: Sequence[list[StoredImage]], name: str
) -> Any:
    """(image, ...) dask array of one variable, one block a partition."""
    spec = next(spec for spec in partitions[0].arrays if spec.name == name)
    scaled = any(other.name == name + SCALE_SUFFIX for other in partitions[0].arrays)
    rows = [tuple(image.position for image in group) for group in members]
    key = f"{name}-{tokenize(url, name, [info.id for info in partitions], rows)}"
    rest = (0,) * len(spec.shape)
    graph = {
        (key, block, *rest): (read_images, url, info, name, positions)
        for block, (info, positions) in enumerate(zip(partitions, rows, strict=True))
    }
    chunks = (tuple(len(positions) for positions in rows), *((side,) for side in spec.shape))
    return da.Array(
        HighLevelGraph.from_collections(key, graph),
        key,
        chunks,
        dtype=np.float32 if scaled else spec.dtype,
    )


def read_images(url: str, partition: PartitionInfo, name: str, positions: tuple[int, ...]) -> Any:
    """(image, ...): the block of one partition; runs on a Dask worker."""
    # One slice reads shards whole; picking rows would read them image by image.
    whole = positions == tuple(range(partition.count))
    return read_block(url, partition, name, slice(None) if whole else list(positions))
