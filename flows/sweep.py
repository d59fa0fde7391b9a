"""A store in, the same store without its leftovers out."""

from prefect import flow

from storage.gc import GRACE_SECONDS, GcReport
from tasks.bars import working
from tasks.care import sweep_store


@flow(name="sweep", flow_run_name="sweep {store}")
def sweep(store: str, grace_hours: float = GRACE_SECONDS / 3600, dry_run: bool = False) -> GcReport:
    """Remove attempts without a commit, partitions that nothing needs, and old indices.

    Args:
        store: a local path or any fsspec URL.
        grace_hours: younger things stay; more than the longest run of a task takes.
        dry_run: only count.
    """
    with working("looking for what nothing needs"):
        return sweep_store(store, grace_hours, dry_run)
