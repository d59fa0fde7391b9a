"""The report as a step of a flow."""

from collections.abc import Sequence

from prefect import task
from prefect.artifacts import create_image_artifact, create_link_artifact

from tasks.bars import working
from tasks.faults import STORAGE_RETRIES
from tasks.report import write_report
from tasks.report_glimpse import glimpses
from tasks.report_records import write_missing


@task(name="report", task_run_name="report of {out}", **STORAGE_RETRIES)
def make_report(out: str, title: str, missing: Sequence[tuple[str, str]] | None = None) -> str:
    """Write ``OUT/report/index.html`` over whatever lies under `out`; returns its URL.

    Leaves a link to it and a few small pictures as artifacts.

    Args:
        missing: (name, reason) of inputs that the run could not use; kept in OUT/missing.json,
            which is left as it is where nothing is given.
    """
    if missing is not None:
        write_missing(out, missing)
    with working("writing the report"):
        summary = write_report(out, title=title)
    if "://" in summary.url and not summary.url.startswith("file://"):
        create_link_artifact(summary.url, key="report", description=summary.line)
    for number, (name, uri) in enumerate(glimpses(out)):
        create_image_artifact(image_url=uri, key=f"pictures-{number}", description=name)
    return summary.url
