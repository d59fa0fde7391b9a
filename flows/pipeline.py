"""One YAML file in; descriptors, and the results of every task that it names, out."""

import time
from collections.abc import Sequence
from typing import Any

from prefect import Flow, flow, get_run_logger

from flows.extract import extract
from flows.pipeline_jobs import Job, plan_jobs
from flows.runner import default_runner, subflow
from tasks.pipeline_file import read_pipeline_file
from tasks.pipeline_summary import (
    PipelineSummary,
    StepOutcome,
    failed,
    publish_pipeline,
    succeeded,
)


@flow(name="pipeline", flow_run_name="pipeline {file}", task_runner=default_runner())
def pipeline(file: str, only: tuple[str, ...] = ()) -> PipelineSummary:
    """Extract what is new in a source, then do every task of a YAML file, each on its own.

    Args:
        file: URL of the file; deployments/README.md explains it.
        only: names of the tasks to do; by default all.

    Raises:
        ValueError: the file is wrong; nothing was done.
        ExceptionGroup: tasks that failed; the results of all others stand.
    """
    described = read_pipeline_file(file)
    jobs = plan_jobs(described, only)
    stores = extract_all(described.images, jobs)
    outcomes = [_do(job, stores.get(job.store or "")) for job in jobs]
    summary = PipelineSummary(file, described.out, tuple(outcomes))
    publish_pipeline(summary)
    errors = [RuntimeError(f"{o.name}: {o.line}") for o in outcomes if not o.done]
    if errors:
        raise ExceptionGroup(f"{summary.line}; the others' results stand, run again", errors)
    return summary


def extract_all(images: str, jobs: Sequence[Job]) -> dict[str, StepOutcome]:
    """Fill each store that the jobs need, once; outcomes by store."""
    outcomes: dict[str, StepOutcome] = {}
    for job in jobs:
        if job.store is not None and job.descriptors is not None and job.store not in outcomes:
            given = {"images": images, "store": job.store, "config": job.descriptors}
            outcomes[job.store] = _attempt(job, job.store, extract, given)
    return outcomes


def _do(job: Job, extracted: StepOutcome | None) -> StepOutcome:
    if extracted is not None and (not extracted.done or job.run is None):
        place = extracted.place if job.run is None else job.out
        return StepOutcome(
            name=job.name,
            flow=job.flow,
            done=extracted.done,
            place=place,
            line=extracted.line if extracted.done else f"extraction failed: {extracted.line}",
            report=None,
            missing=extracted.missing,
            seconds=extracted.seconds,
        )
    assert job.run is not None  # noqa: S101 - extraction alone has an outcome
    return _attempt(job, job.out, job.run, job.given)


def _attempt(job: Job, place: str, run: Flow[..., Any], given: Any) -> StepOutcome:
    started = time.perf_counter()
    log = get_run_logger()
    try:
        summary = subflow(run)(**given)
    except Exception as error:  # noqa: BLE001 - one failing task does not lose the others' work
        outcome = failed(job.name, job.flow, place, error, time.perf_counter() - started)
        log.warning("%s failed: %s", run.name, outcome.line)
    else:
        outcome = succeeded(job.name, job.flow, place, summary, time.perf_counter() - started)
        log.info("%s: %s (%s)", run.name, outcome.line, place)
    return outcome
