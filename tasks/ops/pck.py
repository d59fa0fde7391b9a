"""Percentage of correct keypoints (PCK), and its kinds.

A transferred keypoint is correct when it lies within alpha times a length of the true one.
Benchmarks differ in that length, the threshold's basis; it is named with every number.
"""

from collections.abc import Sequence

import numpy as np


def relative_errors(predicted_xy: np.ndarray, true_xy: np.ndarray, basis: float) -> np.ndarray:
    """Distances (P,) float64 between predicted and true keypoints (P, 2), in units of `basis`.

    Args:
        predicted_xy: (P, 2) pixels of the target image. true_xy: (P, 2), the same frame.
        basis: the threshold's length at alpha = 1, pixels, e.g. max(box width, box height).

    Raises:
        ValueError: different shapes, or a basis that is not positive.
    """
    predicted_xy, true_xy = np.asarray(predicted_xy), np.asarray(true_xy)
    if predicted_xy.shape != true_xy.shape or predicted_xy.shape[-1:] != (2,):
        raise ValueError(
            f"expected two arrays of shape (P, 2); got {predicted_xy.shape} and {true_xy.shape}"
        )
    if not basis > 0:
        raise ValueError(f"the threshold's basis must be a positive length; got {basis}")
    return np.asarray(np.linalg.norm(predicted_xy - true_xy, axis=-1) / basis)


def box_basis(box_xyxy: Sequence[float] | np.ndarray) -> float:
    """max(width, height) of a box (left, top, right, bottom)."""
    left, top, right, bottom = (float(v) for v in box_xyxy)
    return max(right - left, bottom - top)


def keypoint_basis(true_xy: np.ndarray) -> float:
    """max(width, height) of the tight box around keypoints (P, 2): PF-WILLOW's basis."""
    return float(np.ptp(np.asarray(true_xy, dtype=np.float64), axis=0).max())


def pck(errors: np.ndarray, alpha: float) -> float:
    """Share of `errors` (P,), as `relative_errors` gives them, that are at most `alpha`."""
    return float(np.mean(np.asarray(errors) <= alpha))


def pck_by_point(errors: Sequence[np.ndarray], alpha: float) -> float:
    """PCK over all keypoints of all pairs: pairs count by their number of keypoints."""
    return pck(np.concatenate([np.ravel(e) for e in errors]), alpha)


def pck_by_image(errors: Sequence[np.ndarray], alpha: float) -> float:
    """Mean over pairs of a pair's PCK; pairs without keypoints do not count."""
    return float(np.mean([pck(e, alpha) for e in errors if np.size(e)]))
