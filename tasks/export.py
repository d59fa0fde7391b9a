"""Tasks that turn a store into files of other programs."""

from typing import Literal

from prefect import task

from storage.descriptors import DescriptorStore
from storage.exports import export_npz, export_parquet, missing_pyarrow
from tasks.faults import STORAGE_RETRIES

Format = Literal["npz", "parquet"]


@task(name="list-partitions", **STORAGE_RETRIES)
def partitions_of(store: str, format: Format) -> list[str]:  # noqa: A002 - the option's name
    """Ids of the store's partitions, once the format is known to be possible."""
    if format == "parquet":
        missing_pyarrow()
    return [partition.id for partition in DescriptorStore.open(store).partitions()]


@task(name="export-partition", task_run_name="export {partition_id}", **STORAGE_RETRIES)
def export_partition(store: str, partition_id: str, out: str, format: Format) -> int:  # noqa: A002
    """Write one partition's images; the number of files (npz) or rows (parquet)."""
    write = export_npz if format == "npz" else export_parquet
    return write(DescriptorStore.open(store), partition_id, out)
