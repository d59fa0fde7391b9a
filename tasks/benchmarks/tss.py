"""TSS: dense flow between two images of one kind of object (Taniai et al. 2016).

``<subset>/<pair>/`` with the subsets FG3DCar, JODS and PASCAL holds image1, image2, mask1 and
mask2 as PNG, flow1.flo (image 1 to 2) and flow2.flo (2 to 1). Flow is known on the foreground.
A pixel is correct when its end point lies within alpha times the longer side of the source
image; the official tool takes the target's. Both images of nearly every pair have the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
from prefect import task

from storage.descriptors import DescriptorStore
from storage.files import join, list_folder, read_bytes
from storage.images import read_image
from storage.results import read_mask
from tasks.benchmarks.layout import LayoutError, choose, require
from tasks.config import EXECUTION_FIELDS
from tasks.faults import STORAGE_RETRIES
from tasks.match_config import MatchConfig
from tasks.match_pictures import FlowPicture, write_pair
from tasks.matching import View, compare, dense_flow, views_of
from tasks.ops.flow import decode_flow, displacements, positions
from tasks.ops.pck import pck, relative_errors
from tasks.reuse import finished, mark_finished
from tasks.scores import Scores, mean_scores
from tasks.sets import work_key

CODE = "tss-2"
SUBSETS = ("FG3DCar", "JODS", "PASCAL")
ALPHAS = (0.05, 0.10)
LAYOUT = (
    f"folders {', '.join(SUBSETS)}, in them a folder for each pair with image1.png, image2.png, "
    "mask1.png, mask2.png, flow1.flo and flow2.flo"
)
BACK = " 2 to 1"


@dataclass(frozen=True, slots=True)
class FlowPair:
    """One pair. name: <subset>/<pair>, its folder below the root."""

    name: str
    subset: str

    @property
    def images(self) -> tuple[str, str]:
        """Names of the two images below the root."""
        return f"{self.name}/image1.png", f"{self.name}/image2.png"


@dataclass(frozen=True, slots=True)
class FlowBenchmark:
    """What is evaluated."""

    root: str
    pairs: tuple[FlowPair, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All images, as the extraction of the root names them."""
        return tuple(name for pair in self.pairs for name in pair.images)


@dataclass(frozen=True, slots=True)
class FlowScores:
    """Share of correct foreground pixels of one pair, by name. reused: an equal run had them."""

    name: str
    subset: str
    scores: Mapping[str, float]
    reused: bool = False


@task(name="load-benchmark", task_run_name="tss in {root}", **STORAGE_RETRIES)
def load(root: str, subsets: Sequence[str] = (), limit: int | None = None) -> FlowBenchmark:
    """Check the layout and choose `subsets` and the first `limit` pairs of each.

    Raises:
        LayoutError: files that are missing, or unknown subsets.
    """
    there = set(list_folder(root, "directory"))
    known = [subset for subset in SUBSETS if subset in there]
    if not known:
        raise LayoutError(f"{root}: no pairs. Expected {LAYOUT}")
    pairs = tuple(
        FlowPair(f"{subset}/{name}", subset)
        for subset in choose(known, subsets, "subset")
        for name in sorted(list_folder(join(root, subset), "directory"))[:limit]
    )
    if not pairs:
        raise LayoutError(f"{root}: no pairs. Expected {LAYOUT}")
    files = ("image{}.png", "mask{}.png", "flow{}.flo")
    wanted = [f.format(side) for side in (1, 2) for f in files]
    require(root, (join(root, pair.name, file) for pair in pairs for file in wanted), LAYOUT)
    return FlowBenchmark(root, pairs)


@task(name="flow-block", tags=["patchflow-correspond"], **STORAGE_RETRIES)
def flow_block(
    store: str, root: str, pairs: Sequence[FlowPair], out: str, config: MatchConfig
) -> tuple[FlowScores, ...]:
    """Dense flow of every pair both ways, its scores, and its pictures below OUT/<pair>.

    Raises:
        LayoutError: a flow or mask that is malformed or not of its image's size.
    """
    opened = DescriptorStore.open(store)
    return tuple(_score_pair(opened, root, pair, join(out, pair.name), config) for pair in pairs)


def _score_pair(
    store: DescriptorStore, root: str, pair: FlowPair, folder: str, config: MatchConfig
) -> FlowScores:
    names = list(pair.images)
    settings = config.model_dump(mode="json", exclude={*EXECUTION_FIELDS, "block"})
    settings["truth"] = [blake2b(read_bytes(url)).hexdigest() for url in _truths(root, pair)]
    key = work_key(store, names, settings, CODE)
    if (earlier := finished(folder, key, FlowScores)) is not None:
        return replace(earlier, reused=True)
    views = tuple(views_of(store, names, config))
    truths = [read_truth(join(root, pair.name), side, views[side - 1]) for side in (1, 2)]
    flows = [
        dense_flow(compare(source, target, config), config)
        for source, target in (views, views[::-1])
    ]
    scores: dict[str, float] = {}
    for flow, truth, suffix in zip(flows, truths, ("", BACK), strict=True):
        scores |= {f"{k}{suffix}": v for k, v in flow_scores(displacements(flow), truth).items()}
    found = FlowScores(pair.name, pair.subset, scores)
    pixels = [read_image(view.ref) for view in views]
    seen = ~np.isnan(truths[0][..., 0])
    pictures = (
        FlowPicture("warped", flows[0], seen),
        FlowPicture("truth", positions(truths[0]), seen),
    )
    write_pair(folder, pair.name, views, pixels, config, flows=pictures, numbers=scores)
    mark_finished(folder, key, found)
    return found


def _truths(root: str, pair: FlowPair) -> list[str]:
    return [
        join(root, pair.name, f) for side in "12" for f in (f"flow{side}.flo", f"mask{side}.png")
    ]


def read_truth(folder: str, side: int, view: View) -> np.ndarray:
    """True displacements (H, W, 2) of image `side`, NaN off the foreground and where unknown.

    Raises:
        LayoutError: a file that is malformed or not of the image's size.
    """
    url = join(folder, f"flow{side}.flo")
    try:
        flow = decode_flow(read_bytes(url))
    except ValueError as error:
        raise LayoutError(f"{url} is malformed: {error}") from error
    mask = read_mask(join(folder, f"mask{side}.png"))
    width, height = view.grid.image
    if flow.shape[:2] != (height, width) or mask.shape != (height, width):
        raise LayoutError(
            f"{folder}: expected flow{side}.flo and mask{side}.png of the {width}x{height} pixels "
            f"of image{side}.png; got {flow.shape[1]}x{flow.shape[0]} and "
            f"{mask.shape[1]}x{mask.shape[0]}"
        )
    flow[~mask] = np.nan
    if np.isnan(flow[..., 0]).all():
        raise LayoutError(f"{url}: no pixel of mask{side}.png has a known flow")
    return flow


def flow_scores(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """PCK at `ALPHAS` of displacements (H, W, 2) over the pixels where the true ones are known."""
    known = ~np.isnan(truth[..., 0])
    errors = relative_errors(found[known], truth[known], float(max(truth.shape[:2])))
    return {f"pck@{alpha:.2f}": pck(errors, alpha) for alpha in ALPHAS}


@task(name="score")
def score(found: Sequence[FlowScores], weights: Mapping[str, str]) -> Scores:
    """PCK as means over pairs, by subset, and as a mean over subsets."""
    ordered = sorted(found, key=lambda pair: pair.name)
    by_subset = {
        subset: mean_scores([p.scores for p in ordered if p.subset == subset])
        for subset in sorted({p.subset for p in ordered})
    }
    scores = mean_scores([p.scores for p in ordered])
    for name, value in mean_scores(list(by_subset.values())).items():
        scores[f"{name} mean over subsets"] = value
    notes = (
        "threshold basis: longer side of the source image; pixels: the foreground's, of known flow",
        "flow of image 1 to image 2; 2 to 1 beside it, which the official tool averages with it",
    )
    return Scores(
        scores,
        by_subset,
        {p.name: p.scores for p in ordered},
        weights,
        notes,
        groups={p.name: p.subset for p in ordered},
    )
