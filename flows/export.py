"""A store in, files that other programs read out."""

import uuid

from prefect import flow

from flows.runner import default_runner
from tasks.export import Format, export_partition, partitions_of
from tasks.progress import gather, raise_failed


@flow(name="export", flow_run_name="export {store} as {format}", task_runner=default_runner())
def export(store: str, out: str, format: Format = "npz") -> int:  # noqa: A002 - the option's name
    """Write the descriptors of a store as .npz (one an image) or Parquet (one a partition).

    Args:
        store: a local path or any fsspec URL.
        out: folder to write to; any fsspec URL.
        format: npz or parquet.

    Returns:
        The number of files (npz) or rows (parquet) that were written.

    Raises:
        ExceptionGroup: partitions that failed after their retries.
    """
    run = uuid.uuid4().hex
    futures = {
        export_partition.submit(store, partition_id, out, format, run): 1
        for partition_id in partitions_of(store, out, format)
    }
    counts, errors = gather("exporting partitions", futures)
    raise_failed(errors, f"{len(errors)} of {len(futures)} partitions failed; run again")
    return sum(counts)
