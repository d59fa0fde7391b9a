"""Parts of birds against their landmarks."""

from typing import Any, cast

from prefect import flow
from prefect.utilities.annotations import quote

from flows.benchmarks import Choice
from flows.extract import extract
from flows.runner import default_runner, subflow
from storage.files import join
from tasks.benchmarks.birds import load, score
from tasks.chosen import as_parameter
from tasks.parts import parts_sets
from tasks.parts_config import PartsConfig
from tasks.scores import Scores
from tasks.sets import ImageSet
from tasks.stored import stored_names, stored_weights


@flow(
    name="evaluate-birds",
    flow_run_name="{benchmark} with {config.model}",
    task_runner=default_runner(),
)
def evaluate_birds(
    benchmark: str,  # noqa: ARG001 - the run name shows it
    root: str,
    out: str,
    config: PartsConfig,
    choice: Choice,
) -> Scores:
    """Divide all birds, of every class, into the same parts, and look where landmarks lie."""
    chosen = load(root, choice.names, choice.limit)
    store = join(out, "store")
    subflow(extract)(
        chosen.images, store, config.extraction(), only=as_parameter(chosen.names, out)
    )
    stored = stored_names(store)
    birds = ImageSet("birds", tuple(sorted(name for name in chosen.names if name in stored)))
    parts_sets.submit(store, (birds,), out, config).result()
    most = config.parts or config.max_parts
    return score(cast(Any, quote(chosen)), birds, out, most, stored_weights(store))
