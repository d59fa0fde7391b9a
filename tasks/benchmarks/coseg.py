"""Co-segmentation benchmarks: one folder of images and one of masks for each class.

Masks are 0 for background, anything else is foreground; `tasks.benchmarks.coseg_layouts` says
where they lie. Scores: Jaccard index of the foreground and precision (share of rightly labelled
pixels, both sides), averaged over the images of a class, then over classes. Of images that show
no object (the Internet set's noise) only precision is defined.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from prefect import task

from storage.results import read_mask
from tasks.benchmarks.coseg_layouts import LAYOUTS
from tasks.benchmarks.found_masks import mask_urls
from tasks.benchmarks.layout import LayoutError, choose, require
from tasks.faults import STORAGE_RETRIES
from tasks.ops.metrics import jaccard, precision
from tasks.scores import Scores, mean_scores


@dataclass(frozen=True, slots=True)
class CosegBenchmark:
    """What is evaluated. images: the folder of all. classes: name to the image names below it,
    sorted. truths: image name to the URL of its mask. noise: some images show no object.
    """

    images: str
    classes: Mapping[str, tuple[str, ...]]
    truths: Mapping[str, str]
    noise: bool

    @property
    def names(self) -> tuple[str, ...]:
        """All images, as the extraction of `images` names them."""
        return tuple(name for images in self.classes.values() for name in images)


@task(name="load-benchmark", task_run_name="{benchmark} in {root}", **STORAGE_RETRIES)
def load(
    benchmark: str, root: str, classes: Sequence[str] = (), limit: int | None = None
) -> CosegBenchmark:
    """Check the layout and choose `classes` and the first `limit` images of each.

    Raises:
        LayoutError: folders or masks that are missing, or unknown classes.
    """
    layout = LAYOUTS[benchmark]
    try:
        images, truths = layout.find(root)
    except LayoutError as error:
        raise LayoutError(f"{error}. Expected {layout.expected}") from error
    if not truths:
        raise LayoutError(f"{root}: no class with masks. Expected {layout.expected}")
    known: dict[str, tuple[str, ...]] = {}
    for name in truths:
        category = name.partition("/")[0]
        known[category] = (*known.get(category, ()), name)
    chosen = {c: known[c][:limit] for c in choose(sorted(known), classes, "class")}
    found = CosegBenchmark(images, chosen, truths, layout.noise)
    require(root, (truths[name] for name in found.names), layout.expected)
    return found


@task(name="score", task_run_name="score {out}", **STORAGE_RETRIES)
def score(benchmark: CosegBenchmark, out: str, weights: Mapping[str, str]) -> Scores:
    """Compare ``OUT/<class>/masks`` with the truth; a mask that is missing scores 0."""
    items: dict[str, dict[str, float]] = {}
    found = mask_urls(out, benchmark.names)
    for name in benchmark.names:
        truth = read_mask(benchmark.truths[name])
        try:
            mask = read_mask(found[name])
        except FileNotFoundError:
            items[name] = {"jaccard": 0.0, "precision": 0.0}
        else:
            items[name] = _compared(name, mask, truth)
        if benchmark.noise and not truth.any():
            del items[name]["jaccard"]
    by_class = {
        category: mean_scores([items[name] for name in images])
        for category, images in benchmark.classes.items()
    }
    notes = ["scores are means over classes of the means over their images"]
    if benchmark.noise:
        notes.append("images that do not show the object count for precision alone")
    return Scores(
        scores=mean_scores(list(by_class.values())),
        by_category=by_class,
        items=items,
        weights=weights,
        notes=tuple(notes),
        groups={name: c for c, images in benchmark.classes.items() for name in images},
    )


def _compared(name: str, mask: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    try:
        return {"jaccard": jaccard(mask, truth), "precision": precision(mask, truth)}
    except ValueError as error:
        raise LayoutError(f"{name}: {error}; is the truth of another release?") from error
