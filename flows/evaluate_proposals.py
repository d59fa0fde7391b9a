"""Objects proposed in videos, without any mask."""

from prefect import flow

from flows.benchmarks import Choice
from flows.evaluate_davis import propagate_all
from flows.runner import default_runner
from storage.files import join
from tasks.benchmarks.davis import gather_scores
from tasks.benchmarks.davis_cases import draw_cases
from tasks.benchmarks.proposals import NOTES, load, score_sequence
from tasks.scores import Scores
from tasks.video_config import PropagateConfig
from tasks.video_weights import video_weights


@flow(
    name="evaluate-proposals",
    flow_run_name="{benchmark} with {config.model}",
    task_runner=default_runner(),
)
def evaluate_proposals(
    benchmark: str,  # noqa: ARG001 - the run name shows it
    root: str,
    out: str,
    config: PropagateConfig,
    choice: Choice,
) -> Scores:
    """Find and follow what every sequence shows, and pair it with the labelled objects."""
    chosen = load(root, choice.names, choice.limit)
    propagate_all(chosen, out, config, choice.limit, given=False)
    scored = [score_sequence.submit(chosen, s, join(out, s, "masks")) for s in chosen.frames]
    scores = gather_scores(chosen, [f.result() for f in scored], video_weights(config), NOTES)
    draw_cases(chosen, scores, out, numbered=False)
    return scores
