"""Overlap of masks."""

import numpy as np


def jaccard(mask: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two masks (H, W) bool; 1 where both are empty.

    Raises:
        ValueError: masks of different sizes.
    """
    _same_size(mask, truth)
    union = np.count_nonzero(mask | truth)
    return 1.0 if union == 0 else np.count_nonzero(mask & truth) / union


def precision(mask: np.ndarray, truth: np.ndarray) -> float:
    """Share of pixels, foreground and background, that are labelled rightly.

    What co-segmentation papers (Faktor & Irani 2013, Amir et al. 2021) call precision.

    Raises:
        ValueError: masks of different sizes.
    """
    _same_size(mask, truth)
    return float(np.mean(mask == truth))


def _same_size(mask: np.ndarray, truth: np.ndarray) -> None:
    if mask.shape != truth.shape:
        raise ValueError(f"masks must be of one size; got {mask.shape} and {truth.shape}")
