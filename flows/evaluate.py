"""A benchmark on its official layout: run the capability, score it, write metrics.json."""

import importlib
import time
from dataclasses import dataclass
from typing import Any

from prefect import Flow, flow, task

from flows.benchmarks import BENCHMARKS, Choice
from flows.evaluate_settings import BenchmarkName, PresetName, Settings, settings_of
from flows.names import RunName
from flows.runner import default_runner, subflow
from tasks.report_task import make_report
from tasks.scores import Scores, write_scores


@dataclass(frozen=True, slots=True)
class EvaluationSummary:
    """The outcome of an evaluation. metrics: URL of metrics.json."""

    benchmark: str
    metrics: str
    report: str
    scores: Scores

    @property
    def line(self) -> str:
        """One sentence for the terminal."""
        shown = [f"{k} {100 * v:.2f}" for k, v in self.scores.scores.items()]
        shown += [f"{k} {v:.2f}" for k, v in self.scores.measures.items()]
        return f"{self.benchmark}: {', '.join(shown)} over {len(self.scores.items)} items"


@flow(
    name="evaluate",
    flow_run_name=RunName("evaluate {benchmark} in {root}"),
    task_runner=default_runner(),
)
def evaluate(
    benchmark: BenchmarkName,
    root: str,
    out: str,
    config: Settings | None = None,
    preset: PresetName | None = None,
    choice: Choice = Choice(),  # noqa: B008 - frozen
) -> EvaluationSummary:
    """Run `benchmark` on its official layout under `root` and write OUT/metrics.json.

    Args:
        benchmark: a name in `BENCHMARKS`.
        root: the folder as its authors publish it.
        out: where results are written.
        config: of the benchmark's capability; by default the preset's, else what works best here.
        preset: named settings, as published; those of `config` win.
        choice: a part of the benchmark.

    Raises:
        ValueError: no such benchmark or preset, or settings of another capability.
    """
    started = time.perf_counter()
    settings = settings_of(benchmark, config, preset)
    module, _, function = BENCHMARKS[benchmark].flow.partition(":")
    run: Flow[..., Scores] = getattr(importlib.import_module(module), function)
    scores = subflow(run)(benchmark, root, out, settings, choice)
    used, seconds = settings.model_dump(mode="json"), time.perf_counter() - started
    metrics = record_scores(out, scores, benchmark, preset, used, seconds)
    report = make_report(out, f"patchflow: {benchmark}")
    return EvaluationSummary(benchmark, metrics, report, scores)


@task(name="record-scores")
def record_scores(
    out: str,
    scores: Scores,
    benchmark: str,
    preset: str | None,
    settings: dict[str, Any],
    seconds: float,
) -> str:
    """Write metrics.json and metrics.md."""
    return write_scores(
        out, scores, benchmark=benchmark, preset=preset, settings=settings, seconds=seconds
    )
