"""Masks of what moves in clips."""

from typing import Any, cast

from prefect import flow
from prefect.utilities.annotations import quote

from flows.benchmarks import Choice
from flows.cosegment import cosegment
from flows.runner import default_runner, subflow
from storage.files import join
from tasks.benchmarks.motion import load, score
from tasks.chosen import as_parameter
from tasks.motion_config import MotionConfig
from tasks.scores import Scores
from tasks.stored import stored_weights


@flow(
    name="evaluate-motion",
    flow_run_name="{benchmark} with {config.model}",
    task_runner=default_runner(),
)
def evaluate_motion(
    benchmark: str, root: str, out: str, config: MotionConfig, choice: Choice
) -> Scores:
    """Co-segment the frames of every scene and compare the masks with what moves."""
    chosen = load(benchmark, root, choice.names, choice.limit)
    store = join(out, "store")
    subflow(cosegment)(
        chosen.images, out, config.cosegmentation(), store, only=as_parameter(chosen.names, out)
    )
    return score(cast(Any, quote(chosen)), out, config.renderings, stored_weights(store))
