"""DAVIS-2017 without masks (Caelles et al. 2019): proposed objects are paired with the true.

The layout is that of `tasks.benchmarks.davis` with its own annotations::

    ROOT/ImageSets/2017/val.txt              ROOT/JPEGImages/480p/<sequence>/00000.jpg
    ROOT/Annotations_unsupervised/480p/<sequence>/00000.png   object numbers, 255 is void

The first 20 proposals of a sequence count. Objects of the first annotation are paired with them
so that the sum of J&F is greatest (Hungarian method); an object that gets none is compared with
an empty one. All frames are scored, the first and the last too.
"""

from collections.abc import Sequence

import numpy as np
from prefect import task
from scipy.optimize import linear_sum_assignment

from storage.files import join, read_bytes
from storage.results import read_indexed_png
from tasks.benchmarks.davis import DavisBenchmark, frame_stems, read_or_empty
from tasks.benchmarks.layout import LayoutError, choose, require
from tasks.faults import STORAGE_RETRIES
from tasks.ops.davis_metrics import boundary_f, jaccard

LAYOUT = (
    "ImageSets/2017/val.txt, JPEGImages/480p/<sequence>/ and "
    "Annotations_unsupervised/480p/<sequence>/"
)
NOTES = (
    "no mask given; objects are paired with proposals by the Hungarian method",
    "all frames are scored; boundary tolerance 0.008 of the diagonal",
)
_MOST = 20
_VOID = 255


class ProposalBenchmark(DavisBenchmark):
    """DAVIS with the annotations of its unsupervised task."""

    def truth(self, sequence: str, stem: str) -> str:
        """The annotation of one frame."""
        return join(self.root, "Annotations_unsupervised", "480p", sequence, f"{stem}.png")


@task(name="load-benchmark", task_run_name="DAVIS unsupervised in {root}", **STORAGE_RETRIES)
def load(root: str, sequences: Sequence[str] = (), limit: int | None = None) -> ProposalBenchmark:
    """Check the layout and choose `sequences`, the first `limit` frames of each.

    Raises:
        LayoutError: folders, lists or annotations that are missing, or unknown sequences.
    """
    listing = join(root, "ImageSets", "2017", "val.txt")
    require(root, [listing], LAYOUT)
    chosen = choose(read_bytes(listing).decode().split(), sequences, "sequence")
    frames = {name: frame_stems(root, name, limit) for name in chosen}
    empty = [name for name, stems in frames.items() if not stems]
    if empty:
        raise LayoutError(f"{root}: no frames of {', '.join(empty)}. Expected {LAYOUT}")
    found = ProposalBenchmark(root, frames, single=False)
    require(root, (found.truth(name, stem) for name in frames for stem in frames[name]), LAYOUT)
    return found


@task(name="score-proposals", task_run_name="score {sequence}", **STORAGE_RETRIES)
def score_sequence(
    benchmark: ProposalBenchmark, sequence: str, masks: str
) -> dict[str, dict[str, float]]:
    """J and F of each object with its proposal, by ``sequence/number``.

    masks: folder of ``<stem>.png`` with the proposals' numbers; one that is missing is empty.
    """
    frames = []
    for stem in benchmark.frames[sequence]:
        truth = read_indexed_png(benchmark.truth(sequence, stem))
        frames.append((truth, read_or_empty(join(masks, f"{stem}.png"), truth.shape)))
    objects = sorted({int(n) for n in np.unique(frames[0][0])} - {0, _VOID})
    numbers = sorted({int(n) for _, found in frames for n in np.unique(found)} - {0})[:_MOST]
    # An empty proposal for each object, should none be left.
    offered = numbers + [0] * len(objects)
    scores = np.zeros((2, len(objects), len(offered)))
    for truth, found in frames:
        void = truth == _VOID
        given = [found == n if n else np.zeros_like(void) for n in dict.fromkeys(offered)]
        for i, number in enumerate(objects):
            for j, proposal in enumerate(given):
                pair = truth == number, proposal
                scores[:, i, j] += jaccard(*pair, void), boundary_f(*pair, void)
    scores[:, :, len(numbers) + 1 :] = scores[:, :, [len(numbers)] if objects else []]
    scores /= len(frames)
    rows, columns = linear_sum_assignment(-scores.sum(axis=0))
    return {
        f"{sequence}/{objects[i]}": {
            "j&f": float(scores[:, i, j].mean()),
            "j": float(scores[0, i, j]),
            "f": float(scores[1, i, j]),
        }
        for i, j in zip(rows, columns, strict=True)
    }
