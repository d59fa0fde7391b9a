"""How well unsupervised parts stand for an object's landmarks.

Landmark regression as SCOPS does it (Hung et al. 2019, section 4.2); agreement of parts and
landmarks as Choudhury et al. 2021 measure it (section 4.1): NMI and ARI.
"""

from typing import NamedTuple

import numpy as np
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score


class Agreement(NamedTuple):
    """nmi: normalised mutual information, in [0, 1]. ari: adjusted Rand index, at most 1 and
    0 for chance. Both 1 for equal partitions.
    """

    nmi: float
    ari: float


def part_agreement_of(landmarks: np.ndarray, parts: np.ndarray) -> Agreement:
    """Agreement of the landmark (n,) int that each point is and the part (n,) int it lies in."""
    return Agreement(
        float(normalized_mutual_info_score(landmarks, parts)),
        float(adjusted_rand_score(landmarks, parts)),
    )


def part_centres(
    labels: np.ndarray, parts: int, box: tuple[float, float, float, float]
) -> np.ndarray:
    """Centre of each part as a share of the object's box.

    Args:
        labels: (H, W) int, 0 background, 1 to `parts`. box: left, top, width, height, pixels.

    Returns:
        (parts, 2) float64 (x, y), 0 and 1 at the box's sides; NaN for parts without a pixel.
    """
    ids = labels.ravel()
    size = np.bincount(ids, minlength=parts + 1)[1 : parts + 1].astype(np.float64)
    size[size == 0] = np.nan
    rows, cols = np.indices(labels.shape)
    x, y = (
        np.bincount(ids, weights=axis.ravel() + 0.5, minlength=parts + 1)[1 : parts + 1] / size
        for axis in (cols, rows)
    )
    left, top, width, height = box
    return np.stack([(x - left) / width, (y - top) / height], axis=1)


def regress_landmarks(
    train_centres: np.ndarray, train_points: np.ndarray, centres: np.ndarray
) -> np.ndarray:
    """Where the landmarks of images are, by least squares from the centres of their parts.

    Args:
        train_centres: (n, K, 2), NaN for parts that an image lacks: they take the mean of the
            training images' centres.
        train_points: (n, L, 2), NaN for landmarks that are not seen: they train nothing.
        centres: (m, K, 2), of the images to be located.

    Returns:
        (m, L, 2) float64; NaN for landmarks that no training image shows.
    """
    count = (~np.isnan(train_centres)).sum(axis=0)
    total = np.nansum(train_centres, axis=0)
    mean = np.divide(total, count, np.full(total.shape, 0.5), where=count > 0)
    features, wanted = (_features(np.where(np.isnan(c), mean, c)) for c in (train_centres, centres))
    found = np.full((len(centres), train_points.shape[1], 2), np.nan)
    for landmark in range(train_points.shape[1]):
        seen = ~np.isnan(train_points[:, landmark, 0])
        if seen.any():
            weights = np.linalg.lstsq(features[seen], train_points[seen, landmark], rcond=None)[0]
            found[:, landmark] = wanted @ weights
    return found


def _features(centres: np.ndarray) -> np.ndarray:
    return np.column_stack([centres.reshape(len(centres), -1), np.ones(len(centres))])
