"""Benchmarks of matching: keypoints of one image found in another, dense flow."""

from typing import Any, cast

from prefect import flow
from prefect.utilities.annotations import quote

from flows.benchmarks import Choice
from flows.extract import extract
from flows.pair_blocks import raise_blocks, submit_blocks
from flows.runner import default_runner, subflow
from storage.files import join
from tasks.benchmarks import tss
from tasks.benchmarks.keypoints import load
from tasks.benchmarks.pck_cases import draw_cases
from tasks.benchmarks.pck_scores import block_folder, score, transfer_block
from tasks.chosen import as_parameter
from tasks.match_config import MatchConfig
from tasks.progress import gather
from tasks.scores import Scores
from tasks.stored import stored_weights


@flow(
    name="evaluate-keypoints",
    flow_run_name="{benchmark} with {config.model}",
    task_runner=default_runner(),
)
def evaluate_keypoints(
    benchmark: str, root: str, out: str, config: MatchConfig, choice: Choice
) -> Scores:
    """Carry the keypoints of every pair over and count those that arrive."""
    chosen = load(benchmark, root, choice.names, choice.limit)
    store = join(out, "store")
    subflow(extract)(root, store, config.extraction(), only=as_parameter(chosen.names, out))
    futures = submit_blocks(
        transfer_block,
        chosen.pairs,
        config.block,
        lambda number, block: (store, block, block_folder(out, number), config),
    )
    reports, errors = gather("transferring keypoints", futures)
    raise_blocks(errors, futures)
    found = [pair for report in reports for pair in report.pairs]
    scores = score(cast(Any, quote(chosen)), cast(Any, quote(found)), stored_weights(store))
    draw_cases(store, cast(Any, quote(chosen)), cast(Any, quote(scores)), out, config)
    return scores


@flow(
    name="evaluate-flow",
    flow_run_name="{benchmark} with {config.model}",
    task_runner=default_runner(),
)
def evaluate_flow(
    benchmark: str, root: str, out: str, config: MatchConfig, choice: Choice
) -> Scores:
    """Dense flow between the two images of every pair, compared with the true one."""
    chosen = tss.load(root, choice.names, choice.limit)
    store = join(out, "store")
    subflow(extract)(root, store, config.extraction(), only=as_parameter(chosen.names, out))
    futures = submit_blocks(
        tss.flow_block,
        chosen.pairs,
        config.block,
        lambda _, block: (store, root, block, out, config),
    )
    reports, errors = gather(f"{benchmark}: dense flow", futures)
    raise_blocks(errors, futures)
    found = [pair for report in reports for pair in report]
    return tss.score(cast(Any, quote(found)), stored_weights(store))
