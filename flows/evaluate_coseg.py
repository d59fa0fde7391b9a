"""Co-segmentation benchmarks."""

from prefect import flow

from flows.benchmarks import Choice
from flows.cosegment import cosegment
from flows.runner import default_runner, subflow
from storage.files import join
from tasks.benchmarks.coseg import load, score
from tasks.chosen import as_parameter
from tasks.config import CosegmentConfig
from tasks.scores import Scores
from tasks.stored import stored_weights


@flow(
    name="evaluate-coseg",
    flow_run_name="{benchmark} with {config.model}",
    task_runner=default_runner(),
)
def evaluate_coseg(
    benchmark: str,
    root: str,
    out: str,
    config: CosegmentConfig,
    choice: Choice,
) -> Scores:
    """Co-segment every class and compare the masks with the truth."""
    chosen = load(benchmark, root, choice.names, choice.limit)
    store = join(out, "store")
    subflow(cosegment)(chosen.images, out, config, store, only=as_parameter(chosen.names, out))
    return score(chosen, out, stored_weights(store))
