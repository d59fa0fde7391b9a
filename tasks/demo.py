"""The demo's own steps: draw the sets, score the masks against the known truth."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from prefect import task
from prefect.artifacts import create_image_artifact, create_table_artifact

from storage.files import join
from storage.results import read_mask
from tasks.cosegment_summary import CosegmentSummary
from tasks.demo_sets import DemoClip, DemoSet, DemoSets, write_demo_sets
from tasks.inline import data_uri
from tasks.ops.metrics import jaccard
from tasks.report_records import SET_FILE, read_record, write_record
from tasks.sets import result_stems


@dataclass(frozen=True, slots=True)
class DemoSummary:
    """The outcome of the demo. jaccard: composed set to the mean over its images."""

    out: str
    report: str
    masks: CosegmentSummary
    jaccard: Mapping[str, float]

    @property
    def mean_jaccard(self) -> float:
        """Mean over the composed sets."""
        return sum(self.jaccard.values()) / len(self.jaccard)

    @property
    def line(self) -> str:
        """One sentence for the terminal."""
        each = ", ".join(f"{name} {value:.3f}" for name, value in self.jaccard.items())
        return f"mean Jaccard of the composed sets {self.mean_jaccard:.3f} ({each})"


@task(name="draw-sets")
def draw_sets(root: str) -> DemoSets:
    """Write the demo's pictures and their truth below `root`."""
    return write_demo_sets(root)


def first_mask(clip: DemoClip) -> str:
    """URL of the mask of the clip's first frame."""
    return join(clip.truth, f"{0:05d}.png")


@task(name="score-sets")
def score_sets(out: str, sets: DemoSets) -> dict[str, float]:
    """Mean Jaccard of each composed set; each image's goes into the set's page as well."""
    return {s.name: _score(out, s) for s in sets.sets if s.truth is not None}


def _score(out: str, images: DemoSet) -> float:
    folder = join(out, images.name)
    record = read_record(join(folder, SET_FILE))
    stems = result_stems(image.name for image in record.images)
    scored = []
    for image in record.images:
        stem = stems[image.name]
        mask = read_mask(join(folder, "masks", f"{stem}.png"))
        truth = read_mask(join(str(images.truth), f"{stem}.png"))
        scored.append(replace(image, jaccard=jaccard(mask, truth)))
    write_record(folder, replace(record, images=tuple(scored)))
    values = [image.jaccard or 0.0 for image in scored]
    return sum(values) / len(values)


@task(name="publish-demo")
def publish_demo(summary: DemoSummary) -> None:
    """Leave the scores and a small picture of each set as artifacts."""
    rows = [{"set": name, "Jaccard": round(value, 3)} for name, value in summary.jaccard.items()]
    create_table_artifact(table=rows, key="demo-scores", description=summary.line)
    for name in summary.jaccard:
        folder = join(summary.out, name)
        record = read_record(join(folder, SET_FILE))
        overlay = record.images[0].pictures.get("overlay")
        if overlay is not None:
            uri = data_uri(join(folder, overlay))
            create_image_artifact(image_url=uri, key=f"demo-{name}", description=name)
