"""Masks, connected components and boxes."""

import numpy as np
from scipy import ndimage

from tasks.ops.patch_grid import PatchGrid


def component_at(mask: np.ndarray, seed: int) -> np.ndarray:
    """The 4-connected component of `mask` (rows, cols) bool that holds flat index `seed`.

    Raises:
        ValueError: the seed lies outside of the mask.
    """
    labels, _ = ndimage.label(mask)
    label = labels.flat[seed]
    if not label:
        raise ValueError(
            f"seed {seed} at (row, col) {divmod(seed, mask.shape[1])} is not in the mask; "
            "pass a flat index of one of its True patches"
        )
    return labels == label


def components(mask: np.ndarray, most: int | None = None) -> np.ndarray:
    """The 4-connected components, largest first: (count, rows, cols) bool; `most` of them at most,
    by default all, which a large speckled mask has no memory for.
    """
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    order = np.argsort(-sizes, kind="stable")[:most] + 1
    return labels[None] == order[:, None, None]


def grid_box_xyxy(mask: np.ndarray, grid: PatchGrid) -> np.ndarray:
    """The box around the patches of a mask, in pixels of the original image.

    A patch owns the stride-sized cell around its centre, the outermost ones also what lies
    beyond them: patches of stride = patch give whole patches (LOST and TokenCut's boxes).

    Args:
        mask: (rows, cols) bool, not empty.

    Returns:
        (4,) float64, xyxy, inside the image.

    Raises:
        ValueError: an empty mask has no box.
    """
    first, last = _extent(mask)
    low = np.where(first == 0, -np.inf, first - 0.5)
    high = np.where(last == np.subtract(grid.shape, 1), np.inf, last + 0.5)
    corners = grid.to_xy(np.stack([low, high]))
    return np.clip(corners, 0, grid.image).ravel()


def pixel_box_xyxy(mask: np.ndarray) -> np.ndarray:
    """The box around the True pixels of a mask (H, W): (4,) float64 xyxy.

    Raises:
        ValueError: an empty mask has no box.
    """
    first, last = _extent(mask)
    return np.concatenate([first[::-1], last[::-1] + 1]).astype(np.float64)


def iou_xyxy(first_xyxy: np.ndarray, second_xyxy: np.ndarray) -> np.ndarray:
    """Intersection over union of (P, 4) and (Q, 4) boxes: (P, Q) float64; empty boxes give 0."""
    a = np.asarray(first_xyxy, dtype=np.float64).reshape(-1, 1, 4)
    b = np.asarray(second_xyxy, dtype=np.float64).reshape(1, -1, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.prod(np.maximum(sides, 0), axis=-1)
    union = _area(a) + _area(b) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def mask_iou(first: np.ndarray, second: np.ndarray) -> float:
    """Jaccard index of two bool masks of one shape; two empty ones agree: 1."""
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 1.0


def _area(boxes_xyxy: np.ndarray) -> np.ndarray:
    return np.prod(np.maximum(boxes_xyxy[..., 2:] - boxes_xyxy[..., :2], 0), axis=-1)


def _extent(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    inside = np.argwhere(mask)
    if not len(inside):
        raise ValueError(f"an empty mask of shape {mask.shape} has no box; check mask.any() first")
    return inside.min(axis=0), inside.max(axis=0)
