"""What each task of a pipeline's file runs, with which arguments: all checked before any runs."""

import importlib
import importlib.util
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

from prefect import Flow

from tasks.config import Config, ExtractConfig
from tasks.pipeline_file import PipelineFile, Step

# What stands for the pipeline's own images where a task names no others.
_SOURCES = ("images", "frames", "a", "b")


@dataclass(frozen=True, slots=True)
class Job:
    """A task of a pipeline, ready to run.

    run: its flow, None for extraction alone. given: the flow's arguments. store, descriptors:
    what must be extracted before; None where the flow sees to that itself. out: its results.
    """

    name: str
    flow: str
    run: Flow[..., Any] | None
    given: Mapping[str, Any]
    store: str | None
    descriptors: ExtractConfig | None
    out: str


def plan_jobs(described: PipelineFile, only: Sequence[str] = ()) -> list[Job]:
    """Check every task before any runs.

    Raises:
        ValueError: an unknown task, flow, preset, setting or argument, or one that does not fit.
    """
    titles = [step.title for step in described.tasks]
    if unknown := sorted(set(only) - set(titles)):
        raise ValueError(f"no task {unknown[0]!r} in the file; there are: {', '.join(titles)}")
    return [_job(described, s) for s in described.tasks if not only or s.title in only]


def flow_of(name: str) -> Flow[..., Any]:
    """The flow `name` of flows/`name`.py, if a pipeline can run it.

    Raises:
        ValueError: no such flow, or one that does not make results from images or a store.
    """
    found: object = None
    if importlib.util.find_spec(f"flows.{name}") is not None:
        found = getattr(importlib.import_module(f"flows.{name}"), name, None)
    if not isinstance(found, Flow):
        raise ValueError(  # noqa: TRY004 - a name in a file, not a type
            f"no flow {name!r}: give extract, cosegment, or another of `patchflow -h`"
        )
    takes = _parameters(found)
    if "out" not in takes or not {*_SOURCES, "store"} & set(takes):
        raise ValueError(
            f"flow {name!r} cannot be a task of a pipeline: expected one that takes out, and "
            f"images, frames, a and b, or store; it takes {', '.join(takes)}"
        )
    return found


def _job(described: PipelineFile, step: Step) -> Job:
    out = described.out_of(step)
    if step.flow == "extract":
        if step.arguments or step.of:
            raise ValueError(f"task {step.title}: extract takes settings and store, nothing else")
        config = described.settings_of(step, ExtractConfig)
        return Job(step.title, "extract", None, {}, described.store_of(step, config), config, out)
    run = flow_of(step.flow)
    takes = _parameters(run)
    model = get_type_hints(run.fn).get("config")
    given: dict[str, Any] = {"out": out}
    given |= {name: described.images for name in _SOURCES if name in takes}
    if model is not None:
        given["config"] = _settings(described, step, model)
    store, descriptors = _descriptors(described, step, takes, given.get("config"))
    if store is not None:
        given["store"] = store
    given |= step.arguments
    _check(step, run, given)
    return Job(step.title, step.flow, run, given, store, descriptors, out)


def _settings(described: PipelineFile, step: Step, model: type[Config]) -> Config:
    if issubclass(model, ExtractConfig):
        return described.settings_of(step, model)
    # Its preset, where it has one, is that of the descriptors.
    bare = step.model_copy(update={"preset": None})
    return described.settings_of(bare, model, beside=ExtractConfig)


def _descriptors(
    described: PipelineFile, step: Step, takes: Mapping[str, Any], config: Config | None
) -> tuple[str | None, ExtractConfig | None]:
    """Store and settings of what is extracted for `step` from the pipeline's images."""
    if "store" in step.arguments:
        return None, None  # one that is there already
    if "store" not in takes or "a" in takes:
        # It sees to the images that it is given, under names of their own.
        if step.of is not None or (step.store is not None and "store" not in takes):
            raise ValueError(f"task {step.title}: {step.flow} reads no descriptors of the images")
        return step.store, None
    if step.of is not None:
        if step.store is not None:
            raise ValueError(f"task {step.title}: give `of` or `store`, not both")
        other = next(s for s in described.tasks if s.title == step.of)
        source = _job(described, other) if other.of is None else None
        if source is None or source.store is None or source.descriptors is None:
            raise ValueError(f"task {step.title}: {step.of} has no descriptors of the images")
        return source.store, source.descriptors
    if isinstance(config, ExtractConfig):
        wanted = config.extraction()
    else:
        wanted = described.settings_of(step, ExtractConfig, beside=type(config) if config else None)
    return described.store_of(step, wanted), wanted


def _check(step: Step, run: Flow[..., Any], given: Mapping[str, Any]) -> None:
    takes = _parameters(run)
    needed = [n for n, p in takes.items() if p.default is p.empty and n not in given]
    unknown = sorted(set(given) - set(takes))
    if needed or unknown:
        what = f"has no argument {unknown[0]!r}" if unknown else f"needs {', '.join(needed)}"
        raise ValueError(
            f"task {step.title}: {step.flow} {what} (under `arguments`); it takes "
            f"{', '.join(takes)}"
        )
    try:
        run.validate_parameters(dict(given))
    except Exception as error:
        raise ValueError(f"task {step.title}: {error}") from error


def _parameters(run: Flow[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(run.fn).parameters
