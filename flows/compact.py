"""A store of many small parts in, the same store of few large ones out."""

from prefect import flow

from storage.compact import CompactReport
from storage.planning import PARTITION_SIZE
from tasks.bars import working
from tasks.care import compact_store


@flow(name="compact", flow_run_name="compact {store}")
def compact(store: str, partition_size: int = PARTITION_SIZE) -> CompactReport:
    """Merge small partitions and write one index; readers and writers go on meanwhile.

    Args:
        store: a local path or any fsspec URL.
        partition_size: most images of a merged partition.
    """
    with working("merging partitions"):
        return compact_store(store, partition_size)
