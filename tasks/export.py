"""Tasks that turn a store into files of other programs."""

import functools
from typing import Literal

from prefect import task

from storage.descriptors import DescriptorStore
from storage.exports import (
    export_npz,
    export_parquet,
    missing_pyarrow,
    refuse_other_parquet,
)
from tasks.faults import STORAGE_RETRIES

Format = Literal["npz", "parquet"]


@task(name="list-partitions", **STORAGE_RETRIES)
def partitions_of(store: str, out: str, format: Format) -> list[str]:  # noqa: A002 - the option's name
    """Ids of the store's partitions, once it is known that they can be exported."""
    ids = [partition.id for partition in DescriptorStore.open(store).partitions()]
    if format == "parquet":
        missing_pyarrow()
        refuse_other_parquet(out, ids)
    return ids


@task(name="export-partition", task_run_name="export {partition_id}", **STORAGE_RETRIES)
def export_partition(store: str, partition_id: str, out: str, format: Format, run: str) -> int:  # noqa: A002
    """Write one partition's images; the number of files (npz) or rows (parquet).

    run: the same for all partitions of one export, whose processes read the index once.
    """
    write = export_npz if format == "npz" else export_parquet
    return write(_opened(store, run), partition_id, out)


@functools.lru_cache(maxsize=1)
def _opened(store: str, run: str) -> DescriptorStore:  # noqa: ARG001 - another run looks again
    opened = DescriptorStore.open(store)
    opened.index()
    return opened
