"""Descriptors in formats of other programs: one .npz an image, Parquet a partition."""

import contextlib
import functools
import io
import posixpath
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.arrays import shard_images
from storage.descriptors import DescriptorStore
from storage.errors import StorageError
from storage.files import join, list_folder, write_bytes
from storage.index import StoredImage
from storage.reader import SCALE_SUFFIX, read_block

__all__ = ["export_npz", "export_parquet", "members_of", "missing_pyarrow", "refuse_other_parquet"]


def export_npz(store: DescriptorStore, partition_id: str, out: str) -> int:
    """Write ``OUT/<name without its ending>.npz`` for each living image of a partition.

    It holds every array of the image, ``width``, ``height`` (pixels of the original) and
    ``name``. An image whose stem another one has keeps its ending: ``a.jpg.npz``.

    Returns:
        The number of files.
    """
    twins = _twin_stems(store)
    count = 0
    for image, arrays in members_of(store, partition_id):
        stem = posixpath.splitext(image.name)[0]
        stem = image.name if stem in twins else stem
        buffer = io.BytesIO()
        facts: dict[str, Any] = {"name": image.name, "width": image.width, "height": image.height}
        np.savez(buffer, **arrays, **facts)  # type: ignore[arg-type]
        write_bytes(join(out, f"{stem}.npz"), buffer.getvalue())
        count += 1
    return count


def export_parquet(store: DescriptorStore, partition_id: str, out: str) -> int:
    """Write ``OUT/<partition>.parquet``, one row a patch.

    Columns: ``name``, ``width``, ``height`` (pixels of the original image), ``row``, ``col`` of
    the patch, and each array with a patch grid: a number, or a fixed-size list (of D numbers, or
    of one for each attention head). One row group an image.

    Returns:
        The number of rows.
    """
    pyarrow = missing_pyarrow()
    from pyarrow import parquet

    axes = {spec.name: spec.axes for spec in store.index().partitions[partition_id].arrays}
    buffer, rows = io.BytesIO(), 0
    with contextlib.ExitStack() as ends:
        writer: Any = None
        for image, arrays in members_of(store, partition_id):
            table = _patch_table(pyarrow, image, arrays, axes)
            if writer is None:
                writer = parquet.ParquetWriter(buffer, table.schema, compression="zstd")
                ends.enter_context(writer)
            writer.write_table(table)
            rows += table.num_rows
    write_bytes(join(out, f"{partition_id}.parquet"), buffer.getvalue())
    return rows


def refuse_other_parquet(out: str, partition_ids: Collection[str]) -> None:
    """Raise StorageError where a folder holds Parquet of anything but these partitions.

    Programs read such a folder as one table: what an earlier export left, of partitions that
    `compact` has replaced since, would be in it twice.
    """
    files = [name for name in list_folder(out) if name.endswith(".parquet")]
    others = [name for name in files if name.removesuffix(".parquet") not in partition_ids]
    if others:
        raise StorageError(
            f"{out}: holds Parquet files that are not of the store as it is now ({len(others)}, "
            f"e.g. {others[0]}); read as one table, they would give images twice. Remove them, or "
            "export to another folder."
        )


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
    images = store.members()[partition_id]
    names = {spec.name for spec in partition.arrays}
    values = sorted(names - {f"{name}{SCALE_SUFFIX}" for name in names})
    step = min(shard_images(spec, partition.count) for spec in partition.arrays)
    for start in range(0, len(images), step):
        chunk = images[start : start + step]
        rows = [image.position for image in chunk]
        blocks = {name: read_block(store.url, partition, name, rows) for name in values}
        for number, image in enumerate(chunk):
            yield image, {name: block[number] for name, block in blocks.items()}


def _twin_stems(store: DescriptorStore) -> frozenset[str]:
    """Names without their endings that several images share."""
    return _twins_of(store, id(store.index()))


@functools.lru_cache(maxsize=1)
def _twins_of(store: DescriptorStore, state: int) -> frozenset[str]:  # noqa: ARG001 - of the index
    counts = Counter(posixpath.splitext(name)[0] for name in store.index().images)
    return frozenset(stem for stem, count in counts.items() if count > 1)


def _patch_table(
    pyarrow: Any,
    image: StoredImage,
    arrays: dict[str, NDArray[Any]],
    axes: dict[str, tuple[str, ...]],
) -> Any:
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
        if not {"row", "col"} <= set(axes[name]):
            continue
        grid = [axes[name].index(axis) for axis in ("row", "col")]
        patches = np.moveaxis(values, grid, (0, 1))
        flat = pyarrow.array(patches.reshape(-1))
        if patches.ndim > 2:
            flat = pyarrow.FixedSizeListArray.from_arrays(flat, patches.shape[-1])
        columns[name] = flat
    return pyarrow.table(columns)
