"""How far parts agree over a set's images, measured at points that correspond."""

import numpy as np

_SHUFFLES = 200


def part_agreement(labels: np.ndarray) -> np.ndarray:
    """For each point the share of images in which it lies in its commonest part.

    Args:
        labels: (images, points) int; 0 is no part, which agrees with nothing.

    Returns:
        (points,) float in [0, 1].

    Raises:
        ValueError: no images or no points.
    """
    if labels.ndim != 2 or not labels.size:
        raise ValueError(
            f"expected labels of at least one image and point, (images, points); got {labels.shape}"
        )
    counts = [(labels == part).sum(axis=0) for part in range(1, max(int(labels.max()), 1) + 1)]
    return np.asarray(np.max(counts, axis=0) / len(labels))


def shuffled_agreement(labels: np.ndarray, seed: int = 0) -> float:
    """Mean agreement after shuffling the labels among the points of each image: what the sizes of
    the parts alone would give. Mean of many shuffles; equal arguments give equal results.
    """
    rng = np.random.default_rng(seed)
    means = [part_agreement(rng.permuted(labels, axis=1)).mean() for _ in range(_SHUFFLES)]
    return float(np.mean(means))
