"""The report as a step of a flow."""

from prefect import task
from prefect.artifacts import create_image_artifact, create_link_artifact

from tasks.faults import STORAGE_RETRIES
from tasks.report import write_report
from tasks.report_glimpse import glimpses


@task(name="report", task_run_name="report of {out}", **STORAGE_RETRIES)
def make_report(out: str, title: str) -> str:
    """Write ``OUT/report/index.html`` over whatever lies under `out`; returns its URL.

    Leaves a link to it and a few small pictures as artifacts.
    """
    summary = write_report(out, title=title)
    if "://" in summary.url and not summary.url.startswith("file://"):
        create_link_artifact(summary.url, key="report", description=summary.line)
    for number, (name, uri) in enumerate(glimpses(out)):
        create_image_artifact(image_url=uri, key=f"pictures-{number}", description=name)
    return summary.url
