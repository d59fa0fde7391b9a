"""Benchmarks of parts: does a keypoint lie in the same part in every image?"""

from typing import Any, cast

from prefect import flow
from prefect.utilities.annotations import quote

from flows.benchmarks import Choice
from flows.parts import parts
from flows.runner import default_runner, subflow
from storage.files import join
from tasks.benchmarks.keypoints import load
from tasks.benchmarks.parts import score_parts
from tasks.chosen import as_parameter
from tasks.parts_config import PartsConfig
from tasks.scores import Scores
from tasks.sets import group_sets
from tasks.stored import stored_weights


@flow(
    name="evaluate-parts",
    flow_run_name="{benchmark} with {config.model}",
    task_runner=default_runner(),
)
def evaluate_parts(
    benchmark: str, root: str, out: str, config: PartsConfig, choice: Choice
) -> Scores:
    """Divide every sub-class into parts and look where its keypoints lie.

    A limit chooses the images of the first pairs of each sub-class.
    """
    chosen = load(benchmark.removesuffix("-parts"), root, choice.names, choice.limit)
    store = join(out, "store")
    subflow(parts)(root, out, config, store, only=as_parameter(chosen.names, out))
    sets = group_sets(chosen.names, root)
    most = config.parts or config.max_parts
    return score_parts(cast(Any, quote(chosen)), sets, out, most, stored_weights(store))
