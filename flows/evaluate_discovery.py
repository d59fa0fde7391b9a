"""Object discovery benchmarks."""

from prefect import flow

from flows.benchmarks import Choice
from flows.discover import discover
from flows.runner import default_runner, subflow
from storage.files import join
from tasks.benchmarks.discovery import load, score
from tasks.chosen import as_parameter
from tasks.discover_config import DiscoverConfig
from tasks.scores import Scores
from tasks.stored import stored_weights


@flow(
    name="evaluate-discovery",
    flow_run_name="{benchmark} with {config.model}",
    task_runner=default_runner(),
)
def evaluate_discovery(
    benchmark: str,
    root: str,
    out: str,
    config: DiscoverConfig,
    choice: Choice,
) -> Scores:
    """Discover one object in every image and compare its box with the labelled ones."""
    chosen = load(benchmark, root, choice.names, choice.limit)
    store = join(out, "store")
    subflow(discover)(chosen.images, out, config, store, only=as_parameter(chosen.names, out))
    return score(chosen, out, stored_weights(store))
