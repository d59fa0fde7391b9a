"""Tasks that look after a store: verify, compact, sweep."""

from prefect import task
from prefect.artifacts import create_markdown_artifact

from storage.compact import CompactReport, compact
from storage.descriptors import DescriptorStore
from storage.gc import GcReport, gc
from storage.verify import VerifyReport, verify
from tasks.faults import STORAGE_RETRIES
from tasks.summary import counted

_SHOWN = 50


@task(name="verify", task_run_name="verify {store}", **STORAGE_RETRIES)
def verify_store(store: str, repair: bool) -> VerifyReport:
    """Compare every stored byte with its digest; see `storage.verify`."""
    report = verify(DescriptorStore.open(store), repair=repair)
    create_markdown_artifact(
        verify_markdown(store, report), key="verify", description=f"verify {store}"
    )
    return report


@task(name="compact", task_run_name="compact {store}", **STORAGE_RETRIES)
def compact_store(store: str, partition_size: int) -> CompactReport:
    """Merge small partitions and write one index; see `storage.compact`."""
    return compact(DescriptorStore.open(store), size=partition_size)


@task(name="sweep", task_run_name="sweep {store}", **STORAGE_RETRIES)
def sweep_store(store: str, grace_hours: float, dry_run: bool) -> GcReport:
    """Remove what nothing needs any more; see `storage.gc`."""
    opened = DescriptorStore.open(store)
    return gc(opened, grace_seconds=3600 * grace_hours, dry_run=dry_run)


def verify_markdown(store: str, report: VerifyReport) -> str:
    """The report as a page."""
    lines = [
        f"# verify `{store}`",
        f"{counted(report.images, 'image')} in {counted(report.partitions, 'partition')} "
        f"{'agrees' if report.images == 1 else 'agree'} with the digests committed "
        f"({report.bytes / 1e6:.1f} MB); {counted(len(report.problems), 'problem')}, "
        f"{counted(report.uncommitted, 'attempt')} without a commit.",
        "",
    ]
    lines += [
        f"- **{problem.where}**: {problem.what} ({len(problem.images)} images)"
        for problem in report.problems[:_SHOWN]
    ]
    return "\n".join(lines)
