"""One YAML file in; descriptors, and the results of every task that it names, out."""

import importlib
import importlib.util
import inspect
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

from prefect import Flow, flow

from flows.extract import extract
from flows.runner import default_runner, subflow
from tasks.config import ExtractConfig
from tasks.pipeline_file import PipelineFile, Step, read_pipeline_file
from tasks.pipeline_summary import (
    PipelineSummary,
    StepOutcome,
    failed,
    publish_pipeline,
    succeeded,
)

_TAKES = {"images", "out", "config", "store"}


@dataclass(frozen=True, slots=True)
class Job:
    """A task of a pipeline, ready to run. run: its flow, None for extraction alone."""

    name: str
    flow: str
    run: Flow[..., Any] | None
    config: ExtractConfig
    store: str
    out: str


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
    outcomes = [_do(described.images, job, stores[job.store]) for job in jobs]
    summary = PipelineSummary(file, described.out, tuple(outcomes))
    publish_pipeline(summary)
    errors = [RuntimeError(f"{o.name}: {o.line}") for o in outcomes if not o.done]
    if errors:
        raise ExceptionGroup(f"{summary.line}; the others' results stand, run again", errors)
    return summary


def plan_jobs(described: PipelineFile, only: Sequence[str] = ()) -> list[Job]:
    """Check every task before any runs.

    Raises:
        ValueError: an unknown task, flow, preset or setting, or one that does not fit.
    """
    titles = [step.title for step in described.tasks]
    if unknown := sorted(set(only) - set(titles)):
        raise ValueError(f"no task {unknown[0]!r} in the file; there are: {', '.join(titles)}")
    return [_job(described, s) for s in described.tasks if not only or s.title in only]


def extract_all(images: str, jobs: Sequence[Job]) -> dict[str, StepOutcome]:
    """Fill each store that the jobs name, once; outcomes by store."""
    outcomes: dict[str, StepOutcome] = {}
    for job in jobs:
        if job.store not in outcomes:
            arguments = (images, job.store, job.config.extraction())
            outcomes[job.store] = _attempt(job, job.store, extract, *arguments)
    return outcomes


def _job(described: PipelineFile, step: Step) -> Job:
    run = None if step.flow == "extract" else flow_of(step.flow)
    model: type[ExtractConfig] = get_type_hints(run.fn)["config"] if run else ExtractConfig
    config = described.settings_of(step, model)
    store = described.store_of(step, config)
    return Job(step.title, step.flow, run, config, store, described.out_of(step))


def flow_of(name: str) -> Flow[..., Any]:
    """The flow `name` of flows/`name`.py, if a pipeline can run it.

    Raises:
        ValueError: no such flow, or one that does not make results from images and a store.
    """
    found: object = None
    if importlib.util.find_spec(f"flows.{name}") is not None:
        found = getattr(importlib.import_module(f"flows.{name}"), name, None)
    if not isinstance(found, Flow):
        raise ValueError(  # noqa: TRY004 - a name in a file, not a type
            f"no flow {name!r}: give extract, cosegment, or another of `patchflow -h`"
        )
    takes = set(inspect.signature(found.fn).parameters)
    if not takes >= _TAKES:
        raise ValueError(
            f"flow {name!r} cannot be a task of a pipeline: expected the parameters "
            f"{', '.join(sorted(_TAKES))}; it takes {', '.join(sorted(takes))}"
        )
    return found


def _do(images: str, job: Job, extracted: StepOutcome) -> StepOutcome:
    if not extracted.done or job.run is None:
        place = job.store if job.run is None else job.out
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
    return _attempt(job, job.out, job.run, images, job.out, config=job.config, store=job.store)


def _attempt(job: Job, place: str, run: Flow[..., Any], *given: Any, **named: Any) -> StepOutcome:
    started = time.perf_counter()
    try:
        summary = subflow(run)(*given, **named)
    except Exception as error:  # noqa: BLE001 - one failing task does not lose the others' work
        return failed(job.name, job.flow, place, error, time.perf_counter() - started)
    return succeeded(job.name, job.flow, place, summary, time.perf_counter() - started)
