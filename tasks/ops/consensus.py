"""The foreground that a set's images share, without a threshold made for one backbone.

Four steps, the first three over the whole set:

1. Salience by consensus. The descriptors are clustered with several numbers of clusters; each
   clustering calls a patch salient when its cluster's mean saliency exceeds a multiple of the
   set's mean. The share of clusterings that agree replaces the elbow, whose choice decides
   masks by chance.
2. Commonness. A salient patch is common when it finds good matches in the salient patches of
   the other images: pillows that one cat lies on are salient too, but no other image has them.
3. Regression. Both decisions are smoothed by a ridge regression of the decision on the
   descriptors, so that patches of equal looks are decided alike in every image; once more, less
   smoothly, on what that decided.
4. In each image the decision is averaged with a regression on that image alone, which knows
   what sets this object off from this ground.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.ops.kmeans import assign, kmeans

CLUSTERS = (2, 3, 4, 5, 6, 8, 10)
_SAMPLE = 5000  # descriptors that a clustering is trained on
_REFERENCES = 128  # images that a patch is matched with
_PATCHES = 40  # of each of them
_FIRM = 0.3  # of the penalty, for the last regression over the set
_OWN = 1.0  # penalty of an image's own regression


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear function of descriptors. weights: (C,) float32. level: its value at zero."""

    weights: np.ndarray
    level: float

    def __call__(self, descriptors: np.ndarray) -> np.ndarray:
        """Values (...) float32 at descriptors (..., C)."""
        return np.asarray(descriptors @ self.weights + np.float32(self.level), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Consensus:
    """salient: (P,) share of the clusterings that call a patch salient, in [0, 1].
    commonness: (P,) mean cosine to the best match in other images, NaN off the salient.
    decision: what the foreground is of any descriptor, those of other images too; see `decide`.
    """

    salient: np.ndarray
    commonness: np.ndarray
    decision: Linear


def consensus_foreground(
    descriptors: np.ndarray,
    saliency: np.ndarray,
    image: np.ndarray,
    *,
    ratio: float = 1.25,
    spread: float = 1.25,
    penalty: float = 1.0,
    clusters: Sequence[int] = CLUSTERS,
    seed: int = 0,
) -> Consensus:
    """Decide every patch of a set.

    Args:
        descriptors: (P, D) float32, unit length, of all images together.
        saliency: (P,) in [0, 1]. image: (P,) int, which image a patch is of, from 0 on.
        ratio: a salient cluster's mean saliency over the set's mean, at least.
        spread: salient patches stay while their commonness is at most this many standard
            deviations below the mean. penalty: see `ridge`.

    Raises:
        ValueError: lengths that differ, or no patches.
    """
    if not len(descriptors) == len(saliency) == len(image) or not len(image):
        raise ValueError(
            "descriptors, saliency and image must have one entry for each of at least one "
            f"patch; got {len(descriptors)}, {len(saliency)} and {len(image)}"
        )
    salient = salient_share(descriptors, saliency, ratio=ratio, clusters=clusters, seed=seed)
    common = np.full(len(salient), np.nan, dtype=np.float32)
    decision = ridge(descriptors, salient, penalty)
    candidates = decision(descriptors) > 0.5
    if candidates.any() and image.max() > 0:
        common = commonness(descriptors, candidates, image)
        values = common[candidates]
        if np.isfinite(values).all():
            limit = float(values.mean() - spread * values.std()) - 1e-6
            decision = ridge(descriptors, np.nan_to_num(common, nan=-2) > limit, penalty)
    decision = ridge(descriptors, decision(descriptors) > 0.5, _FIRM * penalty)
    return Consensus(salient, common, decision)


def decide(decision: Linear, descriptors: np.ndarray) -> np.ndarray:
    """Foreground (rows, cols) float32 in [0, 1] of one image's descriptors (rows, cols, C), unit
    length: the set's decision averaged with the image's own. Foreground above 0.5.
    """
    common = np.clip(decision(descriptors), 0, 1)
    flat = descriptors.reshape(-1, descriptors.shape[-1])
    own = np.clip(ridge(flat, common.ravel() > 0.5, _OWN)(flat), 0, 1)
    return np.asarray((common + own.reshape(common.shape)) / 2, dtype=np.float32)


def salient_share(
    descriptors: np.ndarray,
    saliency: np.ndarray,
    *,
    ratio: float,
    clusters: Sequence[int] = CLUSTERS,
    seed: int = 0,
) -> np.ndarray:
    """(P,) float32: the share of clusterings whose cluster of a patch is salient.

    Clusterings that find no salient cluster, or nothing else, have no say; zeros if none has.
    """
    sample = descriptors[:: -(-len(descriptors) // _SAMPLE)]
    limit = ratio * float(saliency.mean())
    votes, total = np.zeros(len(descriptors), dtype=np.float32), 0
    for count in clusters:
        centers = kmeans(sample, count, seed=seed, restarts=1)
        labels = assign(descriptors, centers)
        sizes = np.bincount(labels, minlength=len(centers))
        mean = np.bincount(labels, saliency, len(centers)) / np.maximum(sizes, 1)
        kept = mean > limit
        if kept.any() and not kept[sizes > 0].all():
            votes += kept[labels]
            total += 1
    return votes / max(total, 1)


def commonness(descriptors: np.ndarray, candidates: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Mean over the other images of a candidate's cosine to its best match among their own.

    At most a few evenly spaced candidates of an image are matched with, and at most
    `_REFERENCES` evenly spaced images, so that time grows with the set and not its square.

    Args:
        descriptors: (P, D), unit length. candidates: (P,) bool. image: (P,) int.

    Returns:
        (P,) float32; NaN where a patch is no candidate or no other image has one.
    """
    rows = np.flatnonzero(candidates)
    points, owner = descriptors[rows], image[rows]
    total = np.zeros(len(rows), dtype=np.float64)
    matched = np.zeros(len(rows), dtype=np.int64)
    for reference in _evenly(np.unique(owner), _REFERENCES):
        members = descriptors[_evenly(rows[owner == reference], _PATCHES)]
        best = (points @ members.T).max(axis=1)
        others = owner != reference
        total[others] += best[others]
        matched[others] += 1
    result = np.full(len(descriptors), np.nan, dtype=np.float32)
    result[rows] = np.where(matched > 0, total / np.maximum(matched, 1), np.nan)
    return result


def ridge(descriptors: np.ndarray, target: np.ndarray, penalty: float) -> Linear:
    """Least squares of `target` on descriptors, with intercept.

    `penalty` is in units of the mean variance of a channel.

    Args:
        descriptors: (P, C). target: (P,) float or bool.
    """
    points = np.asarray(descriptors, dtype=np.float32)
    wanted = np.asarray(target, dtype=np.float32)
    middle, level = points.mean(axis=0), float(wanted.mean())
    centred = points - middle
    covariance = (centred.T @ centred).astype(np.float64) / len(points)
    slope = centred.T @ (wanted - level) / len(points)
    strength = penalty * np.trace(covariance) / len(covariance) + 1e-12
    weights = np.linalg.solve(covariance + strength * np.eye(len(covariance)), slope)
    return Linear(weights.astype(np.float32), level - float(middle @ weights))


def _evenly(items: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of `items`, evenly spaced."""
    if len(items) <= count:
        return items
    return items[np.linspace(0, len(items) - 1, count).round().astype(int)]
