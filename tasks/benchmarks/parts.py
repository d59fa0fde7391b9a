"""Part benchmarks: is one point of an object the same part in every image?

Amir et al. 2021 measure parts by landmarks. Here: keypoints of PF-WILLOW; for each of them the
share of its sub-class's images in which it lies in its commonest part. A keypoint that lies in
no part agrees with nothing. Beside it stands what the same labels give when they are shuffled
among the keypoints of each image: parts of unequal size agree by chance.
"""

from collections.abc import Mapping

import numpy as np
from prefect import task

from storage.files import join
from storage.results import read_indexed_png
from tasks.benchmarks.keypoints import KeypointBenchmark
from tasks.faults import STORAGE_RETRIES
from tasks.ops.part_agreement import part_agreement, shuffled_agreement
from tasks.scores import Scores, mean_scores
from tasks.sets import ImageSet


@task(name="score-parts", task_run_name="score {out}", **STORAGE_RETRIES)
def score_parts(
    benchmark: KeypointBenchmark,
    sets: list[ImageSet],
    out: str,
    parts: int,
    weights: Mapping[str, str],
) -> Scores:
    """Read ``OUT/<set>/parts`` at the keypoints of every image.

    Args:
        benchmark: its pairs' keypoints are those of the images. sets: that were divided.
        parts: how many; fewer in an image set count as parts of size 0.
    """
    points = {
        name: np.array(xy)
        for pair in benchmark.pairs
        for name, xy in ((pair.source, pair.source_xy), (pair.target, pair.target_xy))
    }
    by_category: dict[str, dict[str, float]] = {}
    items: dict[str, dict[str, float]] = {}
    for images in sets:
        found, sizes = _labels(images, points, out, parts)
        agreement = part_agreement(found)
        category = images.name.rpartition("/")[2]
        for keypoint, share in enumerate(agreement):
            items[f"{category}/keypoint {keypoint + 1}"] = {"agreement": float(share)}
        by_category[category] = {
            "agreement": float(agreement.mean()),
            "shuffled": shuffled_agreement(found),
            "in a part": float((found > 0).mean()),
            "smallest part": float(sizes.min() / max(sizes.sum(), 1)),
        }
    return Scores(
        scores=mean_scores(list(by_category.values())),
        by_category=by_category,
        items=items,
        weights=weights,
        notes=(
            "agreement: share of a keypoint's images in which it lies in its commonest part; "
            "background agrees with nothing",
            "shuffled: the same after shuffling the labels among each image's keypoints",
            "smallest part: its share of the pixels of all parts",
        ),
    )


def _labels(
    images: ImageSet, points: Mapping[str, np.ndarray], out: str, parts: int
) -> tuple[np.ndarray, np.ndarray]:
    """Labels of the keypoints (images, keypoints), 0 for none, and pixels (parts,) of each part."""
    labels, sizes = [], np.zeros(parts, dtype=np.int64)
    for name, stem in images.stems.items():
        picture = read_indexed_png(join(out, images.name, "parts", f"{stem}.png"))
        x, y = np.floor(points[name]).astype(int).T
        height, width = picture.shape
        labels.append(picture[y.clip(0, height - 1), x.clip(0, width - 1)])
        sizes += np.bincount(picture.ravel(), minlength=parts + 1)[1 : parts + 1]
    return np.stack(labels).astype(int), sizes
