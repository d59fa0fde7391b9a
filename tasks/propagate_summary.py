"""What a propagation came to, for people."""

from collections.abc import Sequence
from dataclasses import dataclass

from prefect import task
from prefect.artifacts import (
    create_image_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from storage.files import exists, join
from tasks.clip_pictures import STRIP
from tasks.inline import data_uri
from tasks.propagate import ClipReport
from tasks.summary import counted

_STRIPS = 12  # image artifacts of one run


@dataclass(frozen=True, slots=True)
class PropagateSummary:
    """The outcome of one run. report: URL of the report's first page."""

    out: str
    report: str
    clips: tuple[ClipReport, ...]

    @property
    def missing(self) -> tuple[tuple[str, str], ...]:
        """(frame, problem) of every frame without a mask."""
        return tuple(sorted(entry for clip in self.clips for entry in clip.missing))

    @property
    def line(self) -> str:
        """One sentence for the terminal."""
        frames = sum(clip.frames for clip in self.clips)
        reused = sum(clip.reused for clip in self.clips)
        again = f" ({reused} unchanged since an earlier run)" if reused else ""
        lost = self.missing
        bad = f", {counted(len(lost), 'frame')} could not be used" if lost else ""
        clips = counted(len(self.clips), "video")
        return f"masks of {counted(frames, 'frame')} in {clips}{again}{bad}"


def summarise_clips(out: str, report: str, clips: Sequence[ClipReport]) -> PropagateSummary:
    """Gather a run's outcome, clips by name."""
    return PropagateSummary(out, report, tuple(sorted(clips, key=lambda clip: clip.name)))


@task(name="summarise", task_run_name="summary")
def publish_clips(summary: PropagateSummary) -> None:
    """Leave the run's numbers and filmstrips as artifacts."""
    rows = [
        {
            "video": clip.name,
            "frames": clip.frames,
            "objects": clip.objects,
            "missing": len(clip.missing),
            "seconds": round(clip.seconds, 1),
            "warnings": "; ".join(clip.warnings),
        }
        for clip in summary.clips
    ]
    if rows:
        create_table_artifact(table=rows, key="videos", description=summary.out)
    for number, clip in enumerate(summary.clips[:_STRIPS]):
        strip = join(clip.folder, STRIP)
        if exists(strip):
            create_image_artifact(data_uri(strip), key=f"video-{number}", description=clip.name)
    text = f"# {summary.line}\n\nResults: `{summary.out}`\n\nReport: `{summary.report}`"
    create_markdown_artifact(text, key="propagation", description=summary.out)
