"""The report as a step of a flow."""

from prefect import task
from prefect.artifacts import create_link_artifact

from tasks.faults import STORAGE_RETRIES
from tasks.report import write_report


@task(name="report", task_run_name="report of {out}", **STORAGE_RETRIES)
def make_report(out: str, title: str) -> str:
    """Write ``OUT/report/index.html`` over whatever lies under `out`; returns its URL."""
    summary = write_report(out, title=title)
    if "://" in summary.url and not summary.url.startswith("file://"):
        create_link_artifact(summary.url, key="report", description=summary.line)
    return summary.url
