"""What a co-segmentation came to, for people."""

from collections.abc import Sequence
from dataclasses import dataclass

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from tasks.set_results import SetReport
from tasks.summary import ExtractionSummary, counted


@dataclass(frozen=True, slots=True)
class CosegmentSummary:
    """The outcome of one run. report: URL of the report's first page."""

    out: str
    report: str
    extraction: ExtractionSummary
    sets: tuple[SetReport, ...]

    @property
    def missing(self) -> tuple[tuple[str, str], ...]:
        """(name, reason) of every image without a mask."""
        return unusable(self.extraction, self.sets)

    @property
    def line(self) -> str:
        """One sentence for the terminal."""
        masks = counted(sum(report.masks for report in self.sets), "mask")
        reused = sum(report.reused for report in self.sets)
        again = f" ({reused} unchanged since an earlier run)" if reused else ""
        lost = self.missing
        bad = f", {counted(len(lost), 'image')} could not be used" if lost else ""
        return f"{masks} in {counted(len(self.sets), 'set')}{again}{bad}"

    def place(self, folder: str) -> str:
        """Where the results lie that every set has in `folder`, for people."""
        name = self.sets[0].name if len(self.sets) == 1 else "<set>"
        return f"{self.out.rstrip('/')}/{name}/{folder}"


def count_missing(reports: Sequence[SetReport]) -> int:
    """How many images of some sets have no result."""
    return sum(len(report.missing) for report in reports)


def unusable(
    extraction: ExtractionSummary, sets: Sequence[SetReport]
) -> tuple[tuple[str, str], ...]:
    """(name, reason) of every image that a run could not use."""
    later = [entry for report in sets for entry in report.missing]
    return tuple(sorted({*extraction.failures, *later}))


def summarise_sets(
    out: str, report: str, extraction: ExtractionSummary, sets: Sequence[SetReport]
) -> CosegmentSummary:
    """Gather a run's outcome, sets by name."""
    return CosegmentSummary(out, report, extraction, tuple(sorted(sets, key=lambda s: s.name)))


@task(name="summarise", task_run_name="summary")
def publish_sets(summary: CosegmentSummary) -> None:
    """Leave the run's numbers as artifacts."""
    rows = [
        {
            "set": s.name,
            "masks": s.masks,
            "clusters": s.clusters,
            "kept": s.kept,
            "likeness": None if s.likeness is None else round(s.likeness, 2),
            "seconds": round(s.seconds, 1),
            "warnings": "; ".join(s.warnings),
        }
        for s in summary.sets
    ]
    if rows:
        create_table_artifact(table=rows, key="sets", description=summary.out)
    text = f"# {summary.line}\n\nResults: `{summary.out}`\n\nReport: `{summary.report}`"
    create_markdown_artifact(text, key="cosegmentation", description=summary.out)
