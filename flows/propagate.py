"""A video and a mask in, a mask of every frame out."""

from prefect import flow

from flows.names import RunName
from flows.runner import default_runner
from tasks.progress import gather, raise_failed
from tasks.propagate import find_clips, propagate_clip
from tasks.propagate_summary import PropagateSummary, publish_clips, summarise_clips
from tasks.report_task import make_report
from tasks.video_config import PropagateConfig

DEFAULTS = PropagateConfig()


@flow(
    name="propagate",
    flow_run_name=RunName("propagate {frames} with {config.model}"),
    task_runner=default_runner(),
)
def propagate(
    frames: str,
    out: str,
    config: PropagateConfig = DEFAULTS,
    mask: str | None = None,
) -> PropagateSummary:
    """Write ``masks/<frame>.png``, ``overlay.mp4``, ``curve.csv`` and the report.

    Args:
        frames: a folder of frames, a video file, or a folder of those; any fsspec URL. One clip
            is written directly below `out`, many into a folder each.
        out: where results are written; any fsspec URL.
        config: descriptors and method.
        mask: an indexed PNG for the first frame, or a folder of PNGs named like the frames they
            belong to; of many clips, a folder with one of those for each. Without it the salient
            object of each clip is followed.

    Raises:
        ExceptionGroup: clips that failed after their retries; the others are done, and frames
            done so far are kept.
    """
    jobs = find_clips(frames, mask, out)
    futures = {
        propagate_clip.with_options(task_run_name=job.name).submit(job, config): 1 for job in jobs
    }
    reports, errors = gather(
        "propagating masks", futures, inside="frames", lost=lambda clip: len(clip.missing)
    )
    missing = [entry for clip in reports for entry in clip.missing]
    report = make_report(out, "video masks", missing)
    summary = summarise_clips(out, report, reports)
    publish_clips(summary)
    raise_failed(
        errors, f"{len(errors)} of {len(jobs)} videos failed; run again to go on with those"
    )
    return summary
