"""A benchmark on its official layout: run the capability, score it, write metrics.json."""

import importlib
import time
from dataclasses import dataclass
from typing import Any

from prefect import Flow, flow, task

from flows.benchmarks import BENCHMARKS, Choice
from flows.runner import default_runner, subflow
from tasks.config import ExtractConfig
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


@flow(name="evaluate", flow_run_name="evaluate {benchmark}", task_runner=default_runner())
def evaluate(
    benchmark: str,
    root: str,
    out: str,
    config: ExtractConfig,
    preset: str | None = None,
    choice: Choice = Choice(),  # noqa: B008 - frozen
) -> EvaluationSummary:
    """Run `benchmark` on its official layout under `root` and write OUT/metrics.json.

    Args:
        benchmark: a name in `BENCHMARKS`.
        root: the folder as its authors publish it.
        out: where results are written.
        config: of the benchmark's capability.
        preset: the name that the settings came from, for the record.
        choice: a part of the benchmark.
    """
    started = time.perf_counter()
    module, _, function = BENCHMARKS[benchmark].flow.partition(":")
    run: Flow[..., Scores] = getattr(importlib.import_module(module), function)
    scores = subflow(run)(benchmark, root, out, config, choice)
    seconds = time.perf_counter() - started
    metrics = record_scores(out, scores, benchmark, preset, config.model_dump(mode="json"), seconds)
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
