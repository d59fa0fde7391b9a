"""DAVIS: masks of one or several objects through videos, with and without a first mask.

Perazzi et al. 2016 and Pont-Tuset et al. 2017; both years share one layout::

    ROOT/ImageSets/<year>/val.txt                one sequence a line
    ROOT/JPEGImages/480p/<sequence>/00000.jpg
    ROOT/Annotations/480p/<sequence>/00000.png   object numbers; 2016: anything but 0 is the object

(DAVIS-2017 without masks has ``Annotations_unsupervised``; the semi-supervised layout is read
here.) Scores: J and F of every object, frames averaged first, then objects; the first and the
last frame are not scored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from prefect import task

from storage.files import exists, join, list_folder, read_bytes
from storage.results import read_indexed_png
from tasks.benchmarks.layout import LayoutError, choose, require
from tasks.faults import STORAGE_RETRIES
from tasks.ops.davis_metrics import SequenceScore, boundary_f, jaccard, summarise
from tasks.scores import Scores, mean_scores

LAYOUT = "ImageSets/<year>/val.txt, JPEGImages/480p/<sequence>/ and Annotations/480p/<sequence>/"
NOTES = (
    "first and last frame are not scored; means over frames, then over objects",
    "boundary tolerance 0.008 of the diagonal",
)
_VOID = 255


@dataclass(frozen=True, slots=True)
class DavisBenchmark:
    """What is evaluated. frames: sequence -> stems of its frames, in order.

    single: all objects count as one (2016).
    """

    root: str
    frames: Mapping[str, tuple[str, ...]]
    single: bool

    def clip(self, sequence: str) -> str:
        """The folder of a sequence's frames."""
        return join(self.root, "JPEGImages", "480p", sequence)

    def truth(self, sequence: str, stem: str) -> str:
        """The annotation of one frame."""
        return join(self.root, "Annotations", "480p", sequence, f"{stem}.png")


@task(name="load-benchmark", task_run_name="DAVIS in {root}", **STORAGE_RETRIES)
def load(
    root: str, year: int, sequences: Sequence[str] = (), limit: int | None = None
) -> DavisBenchmark:
    """Check the layout and choose `sequences`, the first `limit` frames of each.

    Raises:
        LayoutError: folders, lists or annotations that are missing, or unknown sequences.
    """
    listing = join(root, "ImageSets", str(year), "val.txt")
    require(root, [listing], LAYOUT)
    known = [line.strip() for line in read_bytes(listing).decode().splitlines() if line.strip()]
    frames = {name: frame_stems(root, name, limit) for name in choose(known, sequences, "sequence")}
    found = DavisBenchmark(root, frames, single=year == 2016)
    short = [name for name, stems in frames.items() if len(stems) < 3]
    if short:
        raise LayoutError(
            f"{root}: fewer than 3 frames in {', '.join(short)}, none would be scored. "
            f"Expected {LAYOUT}"
        )
    require(root, (found.truth(name, stem) for name in frames for stem in frames[name]), LAYOUT)
    return found


@task(name="score-sequence", task_run_name="score {sequence}", **STORAGE_RETRIES)
def score_sequence(
    benchmark: DavisBenchmark, sequence: str, masks: str
) -> dict[str, dict[str, float]]:
    """Scores of each object of one sequence, by ``sequence`` or ``sequence/number``.

    masks: folder of ``<stem>.png``. A mask that is missing counts as empty.
    """
    stems = benchmark.frames[sequence]
    first = read_indexed_png(benchmark.truth(sequence, stems[0]))
    numbers = [1] if benchmark.single else sorted({int(n) for n in np.unique(first)} - {0, _VOID})
    values: dict[int, list[tuple[float, float]]] = {number: [] for number in numbers}
    for stem in stems[1:-1]:
        truth = read_indexed_png(benchmark.truth(sequence, stem))
        found = read_or_empty(join(masks, f"{stem}.png"), truth.shape)
        void = None if benchmark.single else truth == _VOID
        if benchmark.single:
            truth, found = (truth > 0).astype(np.uint8), (found > 0).astype(np.uint8)
        for number in numbers:
            pair = truth == number, found == number
            values[number].append((jaccard(*pair, void), boundary_f(*pair, void)))
    return {
        sequence if benchmark.single else f"{sequence}/{number}": _named(frames)
        for number, frames in values.items()
    }


@task(name="gather-scores")
def gather_scores(
    benchmark: DavisBenchmark,
    parts: Sequence[Mapping[str, Mapping[str, float]]],
    weights: Mapping[str, str],
    notes: tuple[str, ...] = NOTES,
) -> Scores:
    """Means over objects, and by sequence."""
    items = {name: dict(scores) for part in parts for name, scores in part.items()}
    groups = {name: name.partition("/")[0] for name in items}
    return Scores(
        scores=mean_scores(list(items.values())),
        by_category={
            sequence: mean_scores([s for n, s in items.items() if groups[n] == sequence])
            for sequence in benchmark.frames
        },
        items=items,
        weights=weights,
        notes=notes,
        groups=groups,
    )


def _named(frames: Sequence[tuple[float, float]]) -> dict[str, float]:
    regions = summarise([j for j, _ in frames])
    contours = summarise([f for _, f in frames])
    return {
        "j&f": (regions.mean + contours.mean) / 2,
        **_spread("j", regions),
        **_spread("f", contours),
    }


def _spread(name: str, score: SequenceScore) -> dict[str, float]:
    return {name: score.mean, f"{name}_recall": score.recall, f"{name}_decay": score.decay}


def read_or_empty(url: str, shape: tuple[int, ...]) -> np.ndarray:
    """A mask's object numbers, all 0 of that shape where there is none."""
    if not exists(url):
        return np.zeros(shape, dtype=np.uint8)
    return read_indexed_png(url)


def frame_stems(root: str, sequence: str, limit: int | None) -> tuple[str, ...]:
    """Stems of a sequence's first `limit` frames, in order; none where it has no folder."""
    names = list_folder(join(root, "JPEGImages", "480p", sequence))
    return tuple(n.rsplit(".", 1)[0] for n in names if n.lower().endswith(".jpg"))[:limit]
