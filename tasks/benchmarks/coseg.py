"""Co-segmentation benchmarks: one folder of images and one of masks for each class.

Faktor & Irani 2013 (PASCAL-VOC co-segmentation)::

    ROOT/images/<class>/<stem>.jpg
    ROOT/GroundTruth/<class>/<stem>.png   0 background, anything else foreground

Scores: Jaccard index of the foreground and precision (share of rightly labelled pixels, both
sides), averaged over the images of a class, then over classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from prefect import task

from storage.files import join, list_folder
from storage.images import list_images
from storage.results import read_mask
from tasks.benchmarks.layout import LayoutError, choose, require
from tasks.faults import STORAGE_RETRIES
from tasks.ops.metrics import jaccard, precision
from tasks.scores import Scores, mean_scores
from tasks.sets import result_stems

LAYOUT = "images/<class>/<stem>.jpg and GroundTruth/<class>/<stem>.png"


@dataclass(frozen=True, slots=True)
class CosegBenchmark:
    """What is evaluated. classes: name to the image names below ROOT/images, sorted."""

    root: str
    classes: Mapping[str, tuple[str, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """All images, as the extraction of ROOT/images names them."""
        return tuple(name for images in self.classes.values() for name in images)


@task(name="load-benchmark", task_run_name="coseg benchmark in {root}", **STORAGE_RETRIES)
def load(root: str, classes: Sequence[str] = (), limit: int | None = None) -> CosegBenchmark:
    """Check the layout and choose `classes` and the first `limit` images of each.

    Raises:
        LayoutError: folders or masks that are missing, or unknown classes.
    """
    known = sorted(list_folder(join(root, "GroundTruth"), "directory"))
    if not known:
        raise LayoutError(f"{root}: no class below GroundTruth. Expected {LAYOUT}")
    chosen = choose(known, classes, "class")
    images: dict[str, tuple[str, ...]] = {}
    for ref in list_images(join(root, "images")):
        category, _, _ = ref.name.partition("/")
        if category in chosen and len(images.get(category, ())) < (limit or 10**9):
            images[category] = (*images.get(category, ()), ref.name)
    empty = [name for name in chosen if name not in images]
    if empty:
        raise LayoutError(f"{root}: no images of {', '.join(empty)}. Expected {LAYOUT}")
    found = CosegBenchmark(root, images)
    require(root, (_truth(root, name) for name in found.names), LAYOUT)
    return found


@task(name="score", task_run_name="score {out}", **STORAGE_RETRIES)
def score(benchmark: CosegBenchmark, out: str, weights: Mapping[str, str]) -> Scores:
    """Compare ``OUT/<class>/masks`` with the truth; a mask that is missing scores 0."""
    items: dict[str, dict[str, float]] = {}
    for images in benchmark.classes.values():
        stems = result_stems(images)
        for name in images:
            truth = read_mask(_truth(benchmark.root, name))
            try:
                mask = read_mask(
                    join(out, str(PurePosixPath(name).parent), "masks", f"{stems[name]}.png")
                )
            except FileNotFoundError:
                items[name] = {"jaccard": 0.0, "precision": 0.0}
                continue
            items[name] = {"jaccard": jaccard(mask, truth), "precision": precision(mask, truth)}
    by_class = {
        category: mean_scores([items[name] for name in images])
        for category, images in benchmark.classes.items()
    }
    return Scores(
        scores=mean_scores(list(by_class.values())),
        by_category=by_class,
        items=items,
        weights=weights,
        notes=("scores are means over classes of the means over their images",),
    )


def _truth(root: str, name: str) -> str:
    path = PurePosixPath(name)
    return join(root, "GroundTruth", str(path.parent), f"{path.stem}.png")
