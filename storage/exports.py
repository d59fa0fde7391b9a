"""Descriptors in formats of other programs: one .npz an image, Parquet a partition."""

import io
import posixpath
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.descriptors import DescriptorStore, read_block
from storage.errors import StorageError
from storage.files import join, write_bytes
from storage.index import PartitionInfo, StoredImage

__all__ = ["export_npz", "export_parquet", "members_of", "missing_pyarrow"]


def export_npz(store: DescriptorStore, partition_id: str, out: str) -> int:
    """Write ``OUT/<name without its ending>.npz`` for each living image of a partition.

    It holds every array of the image, ``width``, ``height`` (pixels of the original) and
    ``name``. An image whose stem another one has keeps its ending: ``a.jpg.npz``.

    Returns:
        The number of files.
    """
    taken = _stems(store)
    count = 0
    for image, arrays in members_of(store, partition_id):
        stem = posixpath.splitext(image.name)[0]
        stem = stem if taken[stem] == 1 else image.name
        buffer = io.BytesIO()
        facts: dict[str, Any] = {"name": image.name, "width": image.width, "height": image.height}
        np.savez(buffer, **arrays, **facts)  # type: ignore[arg-type]
        write_bytes(join(out, f"{stem}.npz"), buffer.getvalue())
        count += 1
    return count


def export_parquet(store: DescriptorStore, partition_id: str, out: str) -> int:
    """Write ``OUT/<partition>.parquet``, one row a patch.

    Columns: ``name``, ``width``, ``height`` (pixels of the original image), ``row``, ``col`` of
    the patch, and each array with a patch grid: a number, or a fixed-size list of D numbers.

    Returns:
        The number of rows.
    """
    pyarrow = missing_pyarrow()
    from pyarrow import parquet

    tables = [
        _patch_table(pyarrow, image, arrays) for image, arrays in members_of(store, partition_id)
    ]
    if not tables:
        return 0
    table = pyarrow.concat_tables(tables)
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, compression="zstd")
    write_bytes(join(out, f"{partition_id}.parquet"), buffer.getvalue())
    return int(table.num_rows)


def missing_pyarrow() -> Any:
    """The module pyarrow.

    Raises:
        StorageError: it is not installed.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise StorageError(
            "Parquet needs the package pyarrow: pip install 'patchflow[parquet]', or export npz."
        ) from error
    return pyarrow


def members_of(
    store: DescriptorStore, partition_id: str
) -> Iterator[tuple[StoredImage, dict[str, NDArray[Any]]]]:
    """Every living image of a partition with the values of all its arrays."""
    partition = store.index().partitions[partition_id]
    for image in store.index().members()[partition_id]:
        yield image, _values(store.url, partition, image)


def _values(url: str, partition: PartitionInfo, image: StoredImage) -> dict[str, NDArray[Any]]:
    names = {spec.name for spec in partition.arrays}
    scales = {f"{name}_scale" for name in names} & names
    return {
        name: read_block(url, partition, name, [image.position])[0]
        for name in sorted(names - scales)
    }


def _stems(store: DescriptorStore) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in store.index().images:
        stem = posixpath.splitext(name)[0]
        counts[stem] = counts.get(stem, 0) + 1
    return counts


def _patch_table(pyarrow: Any, image: StoredImage, arrays: dict[str, NDArray[Any]]) -> Any:
    rows, cols = image.grid
    row, col = (axis.ravel().astype(np.int32) for axis in np.indices(image.grid))
    columns: dict[str, Any] = {
        "name": pyarrow.array([image.name] * (rows * cols)),
        "width": np.full(rows * cols, image.width, np.int32),
        "height": np.full(rows * cols, image.height, np.int32),
        "row": row,
        "col": col,
    }
    for name, values in arrays.items():
        if values.shape[:2] != image.grid:
            continue
        if values.ndim == 2:
            columns[name] = pyarrow.array(values.ravel())
        else:
            flat = pyarrow.array(values.reshape(-1))
            columns[name] = pyarrow.FixedSizeListArray.from_arrays(flat, values.shape[-1])
    return pyarrow.table(columns)
