"""What a pipeline came to, for people: every task with its result, on one page."""

from collections.abc import Sequence
from dataclasses import dataclass

from prefect import task
from prefect.artifacts import create_link_artifact, create_markdown_artifact


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What became of one task of a pipeline.

    place: where its results are. line: its closing line, or what went wrong. report: URL, where
    it made one. missing: (name, reason) of images that could not be used.
    """

    name: str
    flow: str
    done: bool
    place: str
    line: str
    report: str | None
    missing: tuple[tuple[str, str], ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class PipelineSummary:
    """The outcome of one run. file: the pipeline's YAML."""

    file: str
    out: str
    steps: tuple[StepOutcome, ...]

    @property
    def missing(self) -> tuple[tuple[str, str], ...]:
        """(name, reason) of every image that a task could not use."""
        return tuple(sorted({entry for step in self.steps for entry in step.missing}))

    @property
    def line(self) -> str:
        """One sentence for the terminal."""
        failed = [step.name for step in self.steps if not step.done]
        done = f"{len(self.steps) - len(failed)} of {len(self.steps)} tasks are done"
        return f"{done}; failed: {', '.join(failed)}" if failed else done


def succeeded(name: str, flow: str, place: str, summary: object, seconds: float) -> StepOutcome:
    """The outcome of a task whose flow returned `summary`."""
    missing = getattr(summary, "missing", getattr(summary, "failures", ()))
    line = getattr(summary, "line", "done")
    # Where `report` holds numbers, the report's URL is the `page`.
    known = (getattr(summary, field, None) for field in ("report", "page"))
    page = next((url for url in known if isinstance(url, str)), None)
    return StepOutcome(name, flow, True, place, line, page, tuple(missing), seconds)


def failed(name: str, flow: str, place: str, error: BaseException, seconds: float) -> StepOutcome:
    """The outcome of a task whose flow raised `error`."""
    causes: Sequence[BaseException] = (error,)
    if isinstance(error, BaseExceptionGroup):
        causes = (error, *error.exceptions[:3])
    # An ExceptionGroup and a KeyError add to their text what is of no use here.
    texts = [str(c.args[0]) if _is_dressed(c) else str(c) or type(c).__name__ for c in causes]
    return StepOutcome(name, flow, False, place, "; ".join(texts), None, (), seconds)


def _is_dressed(error: BaseException) -> bool:
    return bool(error.args) and isinstance(error, BaseExceptionGroup | KeyError)


@task(name="summarise", task_run_name="summary")
def publish_pipeline(summary: PipelineSummary) -> None:
    """Leave a page that links every result, and a link to each report."""
    rows = ["| task | | result | report | minutes |", "| --- | --- | --- | --- | --- |"]
    for step in summary.steps:
        report = _link(step.report) if step.report else ""
        sign = "done" if step.done else "**failed**"
        rows.append(
            f"| {step.name} | {sign} | {_cell(step.line)}<br>`{step.place}` | {report} "
            f"| {step.seconds / 60:.1f} |"
        )
        if step.report and "://" in step.report:
            create_link_artifact(step.report, key=f"report-{_key(step.name)}", link_text=step.name)
    page = [
        f"# {summary.line}",
        f"From `{summary.file}`, results under `{summary.out}`.",
        "",
        *rows,
    ]
    create_markdown_artifact("\n".join(page), key="pipeline", description=summary.file)


def _key(name: str) -> str:
    return name.replace("_", "-")


def _link(url: str) -> str:
    return f"[report]({url})" if url.startswith(("http://", "https://")) else f"`{url}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
