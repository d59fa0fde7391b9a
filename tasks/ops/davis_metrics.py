"""Region similarity J and contour accuracy F of video masks, and their statistics.

Perazzi et al. 2016 ("A Benchmark Dataset and Evaluation Methodology for Video Object
Segmentation"), section 4, with the DAVIS-2017 conventions for empty masks and for void pixels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np


class SequenceScore(NamedTuple):
    """Statistics of one measure over the scored frames of one object.

    mean: over frames. recall: share of frames above 0.5. decay: mean of the first quarter minus
    mean of the last. All fractions; decay may be negative.
    """

    mean: float
    recall: float
    decay: float


def jaccard(truth: np.ndarray, found: np.ndarray, void: np.ndarray | None = None) -> float:
    """Intersection over union of two masks (H, W) bool; 1 where both are empty.

    void: (H, W) bool, pixels that do not count.

    Raises:
        ValueError: masks of different size.
    """
    truth, found = _without_void(truth, found, void)
    union = np.count_nonzero(truth | found)
    return 1.0 if union == 0 else np.count_nonzero(truth & found) / union


def boundary_f(
    truth: np.ndarray,
    found: np.ndarray,
    void: np.ndarray | None = None,
    *,
    tolerance: float = 0.008,
) -> float:
    """F-measure of the contours of two masks (H, W) bool.

    Precision: share of the found contour within the tolerance of the true one; recall the other
    way round. A contour is near another where a disk around its pixel touches it.

    Args:
        void: (H, W) bool, pixels that do not count.
        tolerance: radius of the disk as a share of the image's diagonal, rounded up to whole
            pixels; 1 or more: in pixels.

    Returns:
        F in [0, 1]: 1 where both contours are empty, 0 where one is.

    Raises:
        ValueError: masks of different size.
    """
    truth, found = _without_void(truth, found, void)
    diagonal = float(np.hypot(*truth.shape))
    radius = tolerance if tolerance >= 1 else np.ceil(tolerance * diagonal)
    ours, theirs = contour(found), contour(truth)
    if not ours.any() and not theirs.any():
        return 1.0
    precision = _share_near(ours, theirs, int(radius))
    recall = _share_near(theirs, ours, int(radius))
    total = precision + recall
    return 0.0 if total == 0 else 2 * precision * recall / total


def contour(mask: np.ndarray) -> np.ndarray:
    """Contour of a mask (H, W) bool: pixels unlike their right, lower or lower right neighbour.

    Neighbours outside of the image count as the nearest one inside. One pixel wide; (H, W) bool.
    """
    mask = np.asarray(mask, dtype=bool)
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    return (
        (mask != padded[:-1, 1:]) | (mask != padded[1:, :-1]) | (mask != padded[1:, 1:])
    ).astype(bool)


def summarise(values: Sequence[float]) -> SequenceScore:
    """Statistics of a measure's per-frame values, first and last frame already left out.

    The decay's quarters are those of the official tool: their borders are rounded to frames and
    belong to both sides.

    Raises:
        ValueError: no values.
    """
    frames = np.asarray(values, dtype=np.float64)
    if frames.size == 0:
        raise ValueError("expected at least one scored frame, got none")
    # Half-way borders round up: the official tool's tiny shift against rounding to even.
    borders = np.round(np.linspace(1, frames.size, 5) + 1e-10).astype(int) - 1
    first = frames[borders[0] : borders[1] + 1]
    last = frames[borders[3] : borders[4] + 1]
    return SequenceScore(
        mean=float(frames.mean()),
        recall=float((frames > 0.5).mean()),
        decay=float(first.mean() - last.mean()),
    )


def _without_void(
    truth: np.ndarray, found: np.ndarray, void: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    truth, found = np.asarray(truth, dtype=bool), np.asarray(found, dtype=bool)
    if truth.shape != found.shape or truth.ndim != 2:
        raise ValueError(
            f"expected two masks (H, W) of one size; got {truth.shape} and {found.shape}"
        )
    if void is None:
        return truth, found
    return truth & ~void, found & ~void


def _share_near(contour_a: np.ndarray, contour_b: np.ndarray, radius: int) -> float:
    """Share of the pixels of A within `radius` of B; 1 where A is empty (nothing is wrong)."""
    count = np.count_nonzero(contour_a)
    if count == 0:
        return 1.0
    offsets = np.arange(-radius, radius + 1)
    disk = (offsets[:, None] ** 2 + offsets[None] ** 2 <= radius**2).astype(np.uint8)
    near = cv2.dilate(contour_b.astype(np.uint8), disk)
    return np.count_nonzero(contour_a & (near > 0)) / count
