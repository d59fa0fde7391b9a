"""DAVIS benchmarks: semi-supervised (2016, 2017) and without a first mask (2016)."""

from prefect import flow

from flows.benchmarks import Choice
from flows.runner import default_runner
from storage.files import join
from tasks.benchmarks.davis import NOTES, DavisBenchmark, gather_scores, load, score_sequence
from tasks.benchmarks.davis_cases import draw_cases
from tasks.progress import gather, raise_failed
from tasks.propagate import ClipJob, propagate_clip
from tasks.scores import Scores
from tasks.video_config import PropagateConfig
from tasks.video_weights import video_weights

UNSUPERVISED = "-unsupervised"


@flow(
    name="evaluate-davis",
    flow_run_name="{benchmark} with {config.model}",
    task_runner=default_runner(),
)
def evaluate_davis(
    benchmark: str,
    root: str,
    out: str,
    config: PropagateConfig,
    choice: Choice,
) -> Scores:
    """Propagate the first mask of every sequence, or none, and compare with the truth."""
    free = benchmark.endswith(UNSUPERVISED)
    year = int(benchmark.removesuffix(UNSUPERVISED).removeprefix("davis"))
    chosen = load(root, year, choice.names, choice.limit)
    propagate_all(chosen, out, config, choice.limit, given=not free)
    scored = [score_sequence.submit(chosen, s, join(out, s, "masks")) for s in chosen.frames]
    notes = (*NOTES, "no mask given: the salient object is followed") if free else NOTES
    scores = gather_scores(chosen, [f.result() for f in scored], video_weights(config), notes)
    draw_cases(chosen, scores, out)
    return scores


def propagate_all(
    chosen: DavisBenchmark, out: str, config: PropagateConfig, limit: int | None, *, given: bool
) -> None:
    """Write the masks of every sequence to ``OUT/<sequence>/masks``, one task a sequence.

    given: from the annotation of its first frame; else of what the clip shows.

    Raises:
        ExceptionGroup: sequences that failed after their retries; the others are done.
    """
    futures = {}
    for sequence, stems in chosen.frames.items():
        mask = chosen.truth(sequence, stems[0]) if given else None
        job = ClipJob(sequence, chosen.clip(sequence), mask, join(out, sequence), limit)
        run = propagate_clip.with_options(task_run_name=sequence)
        futures[run.submit(job, config)] = len(stems)
    _, errors = gather("propagating masks", futures, inside="frames")
    raise_failed(
        errors, f"{len(errors)} of {len(futures)} sequences failed; run again to go on with those"
    )
