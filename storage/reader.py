"""Reading arrays of committed partitions: whatever is missing or damaged raises, never zeros."""

import functools
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from storage.arrays import fill_value
from storage.errors import StoreCorruptError, is_storage_fault
from storage.files import join, zarr_store
from storage.index import PartitionInfo

__all__ = ["SCALE_SUFFIX", "open_array", "open_group", "read_block", "read_rows"]

# An int8 array X comes with X_scale, (image, channel): value = integer x scale.
SCALE_SUFFIX = "_scale"
_REMEDY = "`patchflow verify --repair` drops it, and the next run stores its images again."


def open_group(url: str, partition: PartitionInfo) -> zarr.Group:
    """The zarr group of a partition, read-only."""
    group_url = join(url, "partitions", partition.id, partition.attempt)
    try:
        return zarr.open_group(zarr_store(group_url, read_only=True), mode="r")
    except Exception as error:
        # zarr's "not found" is a FileNotFoundError, and broken metadata is a ValueError or worse.
        if is_storage_fault(error):
            raise
        raise StoreCorruptError(
            f"partition {partition.id}: its group {group_url} is missing or damaged "
            f"({type(error).__name__}: {error}). {_REMEDY}"
        ) from error


@functools.lru_cache(maxsize=256)
def _opened(process: int, url: str, partition: PartitionInfo, name: str) -> zarr.Array[Any]:  # noqa: ARG001
    """`open_array`, remembered: no attempt's folder is ever written again after its commit.

    process: that opened it; what a bucket's client holds does not survive a fork.
    """
    return open_array(url, partition, name)


def open_array(url: str, partition: PartitionInfo, name: str) -> zarr.Array[Any]:
    """One array of a partition."""
    expected = {spec.name: spec for spec in partition.arrays}
    if name not in expected:
        raise KeyError(
            f"partition {partition.id} has no array {name!r}; it holds {sorted(expected)}."
        )
    group = open_group(url, partition)
    array = group.get(name)
    shape = (partition.count, *expected[name].shape)
    if not isinstance(array, zarr.Array) or array.shape != shape:
        found = None if array is None else getattr(array, "shape", "a group")
        raise StoreCorruptError(
            f"partition {partition.id}: array {name!r} should have shape {shape}, "
            f"found {found}. {_REMEDY}"
        )
    return array


def read_rows(
    array: zarr.Array[Any], partition: PartitionInfo, rows: Sequence[int] | slice
) -> NDArray[Any]:
    """Rows (images) of an array, as stored.

    Raises:
        StoreCorruptError: a shard is missing, cut off, or its checksum does not hold.
    """
    if not isinstance(rows, slice) and _consecutive(rows):
        # zarr copies what is chosen by number element by element, which takes ten times as long.
        rows = slice(rows[0], rows[0] + len(rows))
    try:
        if isinstance(rows, slice):
            block = np.asarray(array[rows])
        else:
            block = np.asarray(array.oindex[np.asarray(rows, dtype=np.intp)])
    except Exception as error:
        # Checksums and shard indices that do not hold come as ValueError and others.
        if is_storage_fault(error):
            raise
        raise StoreCorruptError(
            f"partition {partition.id}, array {array.basename}: damaged "
            f"({type(error).__name__}: {error}). {_REMEDY}"
        ) from error
    _refuse_missing(block, array.basename, partition, rows)
    return block


def _consecutive(rows: Sequence[int]) -> bool:
    return len(rows) > 0 and all(row == rows[0] + i for i, row in enumerate(rows))


def _refuse_missing(
    block: NDArray[Any], name: str, partition: PartitionInfo, rows: Sequence[int] | slice
) -> None:
    """A chunk is one image and no image holds the fill value, so one element of each tells."""
    if block.size == 0:
        return
    first = block.reshape(len(block), -1)[:, 0]
    missing = np.isnan(first) if block.dtype.kind == "f" else first == fill_value(str(block.dtype))
    if missing.any():
        number = int(np.flatnonzero(missing)[0])
        row = range(partition.count)[rows][number] if isinstance(rows, slice) else rows[number]
        raise StoreCorruptError(
            f"partition {partition.id}, array {name}: the shard that holds row {row} is missing. "
            f"{_REMEDY}"
        )


def decode_scaled(block: NDArray[Any], scale: NDArray[Any]) -> NDArray[np.float32]:
    """(image, row, col, channel) integers x (image, channel) scales, as float32."""
    return block.astype(np.float32) * scale[:, None, None, :].astype(np.float32)


def read_block(
    url: str,
    partition: PartitionInfo,
    name: str,
    rows: Sequence[int] | slice,
    *,
    raw: bool = False,
) -> NDArray[Any]:
    """Rows of one array of a partition; scaled integers as their float32 values."""
    process = os.getpid()
    block = read_rows(_opened(process, url, partition, name), partition, rows)
    scale = name + SCALE_SUFFIX
    if raw or all(spec.name != scale for spec in partition.arrays):
        return block
    scales = read_rows(_opened(process, url, partition, scale), partition, rows)
    return decode_scaled(block, scales)
