"""Objects proposed in videos, without any mask."""

from prefect import flow

from flows.benchmarks import Choice
from flows.runner import default_runner
from storage.files import join
from tasks.benchmarks.davis import gather_scores
from tasks.benchmarks.davis_cases import draw_cases
from tasks.benchmarks.proposals import NOTES, load, score_sequence
from tasks.progress import gather, raise_failed
from tasks.propagate import ClipJob, propagate_clip
from tasks.scores import Scores
from tasks.video_config import PropagateConfig
from tasks.video_weights import video_weights


@flow(name="evaluate-proposals", flow_run_name="{benchmark}", task_runner=default_runner())
def evaluate_proposals(
    benchmark: str,
    root: str,
    out: str,
    config: PropagateConfig,
    choice: Choice,
) -> Scores:
    """Find and follow what every sequence shows, and pair it with the labelled objects."""
    chosen = load(root, choice.names, choice.limit)
    futures = {}
    for sequence, stems in chosen.frames.items():
        job = ClipJob(sequence, chosen.clip(sequence), None, join(out, sequence), choice.limit)
        futures[propagate_clip.with_options(task_run_name=sequence).submit(job, config)] = len(
            stems
        )
    _, errors = gather(f"{benchmark}: propagating masks", futures)
    raise_failed(
        errors, f"{len(errors)} of {len(futures)} sequences failed; run again to go on with those"
    )
    scored = [score_sequence.submit(chosen, s, join(out, s, "masks")) for s in chosen.frames]
    scores = gather_scores(chosen, [f.result() for f in scored], video_weights(config), NOTES)
    draw_cases(chosen, scores, out, numbered=False)
    return scores
