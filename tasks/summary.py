"""What an extraction came to, for people: an object, a table and a page in the Prefect UI."""

from collections.abc import Sequence
from dataclasses import dataclass

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from tasks.plan import ExtractionPlan
from tasks.stages import Occupancy, PartitionReport, occupancy

_SHOWN, _LOGGED = 50, 20


@dataclass(frozen=True, slots=True)
class ExtractionSummary:
    """The outcome of one run of `extract`.

    listed: images in the source. stored: by this run. unchanged: before it. failures: (name,
    reason) of images that could not be read, now or, unchanged since, earlier. partitions:
    computed by this run. bytes, seconds: of descriptors, of the run's tasks. busy: the stages,
    where anything was computed.
    """

    store: str
    listed: int
    stored: int
    unchanged: int
    gone: int
    failures: tuple[tuple[str, str], ...]
    partitions: int
    bytes: int
    seconds: float
    busy: Occupancy | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """For the terminal: the stage that took the time, and what was done."""
        return (self.line,) if self.busy is None else (self.busy.line, self.line)

    @property
    def line(self) -> str:
        """One sentence for the terminal."""
        if not self.stored and not self.partitions:
            verb = "is" if self.unchanged == 1 else "are"
            done = f"nothing to do: {counted(self.unchanged, 'image')} {verb} stored already"
        else:
            verb = "was" if self.unchanged == 1 else "were"
            done = f"{counted(self.stored, 'image')} stored, {self.unchanged:,} {verb} already"
        gone = f", {self.gone:,} gone from the source" if self.gone else ""
        bad = f", {len(self.failures):,} could not be read" if self.failures else ""
        return f"{done}{gone}{bad}"


def counted(number: int, one: str, many: str | None = None) -> str:
    """1 set, 2 sets, 1,000 sets; `many` where it is not `one` with an s."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def partition_line(report: PartitionReport) -> str:
    """What became of a partition, for the log of its task."""
    images = counted(report.stored, "image")
    bad = f", {report.failed} could not be used" if report.failed else ""
    if report.raced:
        return f"{images} stored by another run{bad}"
    rate = report.stored / max(report.seconds, 1e-9)
    done = f"{images}, {report.bytes / 1e6:.1f} MB, stored in {report.seconds:.1f} s"
    return f"{done} ({rate:.1f} images/s) by {report.worker}{bad}"


def log_failures(failures: Sequence[tuple[str, str]]) -> None:
    """Warn of images that could not be used, (name, reason) each, in the log of this run."""
    log = get_run_logger()
    for name, reason in failures[:_LOGGED]:
        log.warning("could not use %s: %s", name, reason)
    if len(failures) > _LOGGED:
        log.warning("could not use %d more images", len(failures) - _LOGGED)


def summarise(
    plan: ExtractionPlan,
    reports: Sequence[PartitionReport],
    earlier: Sequence[tuple[str, str]],
) -> ExtractionSummary:
    """Count up a run. earlier: (name, reason) of failures that the store knew before."""
    now = [(f.ref.name, f.reason) for f in plan.unreadable]
    now += [reason for report in reports for reason in report.reasons]
    names = {name for name, _ in now}
    failures = [*now, *(entry for entry in earlier if entry[0] not in names)]
    return ExtractionSummary(
        store=plan.store,
        listed=plan.listed,
        stored=sum(r.stored for r in reports if not r.raced),
        unchanged=plan.unchanged + sum(r.stored for r in reports if r.raced),
        gone=len(plan.gone),
        failures=tuple(sorted(failures)),
        partitions=sum(not r.raced for r in reports),
        bytes=sum(r.bytes for r in reports),
        seconds=sum(r.seconds for r in reports),
        busy=occupancy(reports),
    )


@task(name="summarise", task_run_name="summary")
def publish(summary: ExtractionSummary, reports: Sequence[PartitionReport]) -> None:
    """Leave the run's numbers as artifacts, and in the log."""
    log_failures(summary.failures)
    get_run_logger().info(summary.line)
    rows = [
        {
            "partition": report.id[:12],
            "images": report.stored,
            "failed": report.failed,
            "images/s": round(report.stored / report.seconds, 2) if report.seconds else None,
            "MB": round(report.bytes / 1e6, 1),
            "worker seconds": round(report.seconds, 1),
            "by": "another run" if report.raced else "this run",
        }
        for report in reports
    ]
    if rows:
        create_table_artifact(table=rows, key="partitions", description=summary.store)
    lines = [f"# {summary.line}", f"Store: `{summary.store}`, {summary.listed} images listed."]
    if summary.busy is not None:
        lines.append(summary.busy.line)
    if summary.failures:
        lines += ["", "| image | reason |", "| --- | --- |"]
        lines += [f"| `{_cell(n)}` | {_cell(r)} |" for n, r in summary.failures[:_SHOWN]]
        if len(summary.failures) > _SHOWN:
            lines.append(f"\n... and {len(summary.failures) - _SHOWN} more under `failures/`")
    create_markdown_artifact("\n".join(lines), key="extraction", description=summary.store)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
