"""Between a frame's object numbers and soft labels: one-hot in, decisions out."""

import cv2
import numpy as np
from scipy import ndimage

from tasks.ops.edge_refine import follow_colours, guided_filter
from tasks.ops.kinds import MaskRefinement

HAZE = 0.2  # labels below it are noise and do not count into an object's area
BOX_LEVEL = 0.01  # outside of the box of labels above it nothing is refined


def one_hot(labels: np.ndarray, numbers: tuple[int, ...]) -> np.ndarray:
    """(H, W) object numbers to (H, W, 1 + K) float32: background (all else) and each object."""
    planes = [labels == number for number in numbers]
    background = ~np.logical_or.reduce(planes) if planes else np.ones(labels.shape, bool)
    return np.stack([background, *planes], axis=-1).astype(np.float32)


def separate(mask: np.ndarray, most: int, smallest: float = 0.25) -> np.ndarray:
    """Objects in one mask (H, W) bool that do not touch, as numbers (H, W) uint8.

    Regions of at least `smallest` times the largest one's area are objects, `most` of them at
    most, numbered from 1 by falling area; what is left over belongs to the nearest of them.
    """
    regions, count = ndimage.label(mask, structure=np.ones((3, 3)))
    if count == 0:
        return np.zeros(mask.shape, np.uint8)
    sizes = np.bincount(regions.ravel())[1:]
    order = np.argsort(-sizes, kind="stable")[:most]
    kept = order[sizes[order] >= smallest * sizes.max()]
    numbering = np.zeros(count + 1, np.uint8)
    numbering[kept + 1] = np.arange(1, len(kept) + 1)
    numbers = numbering[regions]
    nearest = ndimage.distance_transform_edt(
        numbers == 0, return_distances=False, return_indices=True
    )
    separated: np.ndarray = np.where(mask, numbers[tuple(nearest)], 0)
    return separated.astype(np.uint8)


def to_frame(soft: np.ndarray, width: int, height: int) -> np.ndarray:
    """(K, h, w) labels on a raster to (K, height, width) float32, bilinear."""
    planes = [cv2.resize(p, (width, height), interpolation=cv2.INTER_LINEAR) for p in soft]
    return np.stack(planes)


def patch_of(shorter: int) -> int:
    """Pixels of a window for a frame whose shorter side has so many: about a patch."""
    return max(2, round(shorter / 34))


def refine_labels(image: np.ndarray, soft: np.ndarray, method: MaskRefinement) -> np.ndarray:
    """Fit each object's soft mask to the picture.

    Args:
        image: (H, W, 3) uint8. soft: (1 + K, H, W) float32, background first.
        method: ``colour``: `follow_colours`, then `guided_filter`, with windows of about a
            patch (a 34th of the shorter side) and half of it; ``none``.

    Returns:
        (1 + K, H, W) float32; the background is what the objects leave.
    """
    if method == "none":
        return soft
    patch = patch_of(min(image.shape[:2]))
    refined = soft.copy()
    for plane in refined[1:]:
        box = _box(plane, margin=4 * patch)
        if box is None:
            continue
        colours = image[box].astype(np.float32) / 255
        fitted = follow_colours(colours, plane[box], radius=patch)
        plane[box] = guided_filter(colours, fitted, radius=max(1, patch // 2))
    refined[0] = np.clip(1 - refined[1:].sum(axis=0), 0, 1)
    return refined


def decide_by_area(soft: np.ndarray, numbers: tuple[int, ...]) -> np.ndarray:
    """Object numbers (H, W) uint8 from soft labels (1 + K, H, W), areas kept.

    Averaging blurs thin things below one half. An object's threshold is therefore where its
    mask has the area of its labels' sum (those above the haze), though never above one half.
    Where objects compete, the one that is highest above its threshold wins.
    """
    height, width = soft.shape[1:]
    decided = np.zeros((height, width), dtype=np.uint8)
    best = np.ones((height, width), dtype=np.float32)
    for number, plane in zip(numbers, soft[1:], strict=True):
        ratio = plane / _threshold(plane)
        wins = ratio > best
        decided[wins] = number
        best[wins] = ratio[wins]
    return decided


def _threshold(plane: np.ndarray) -> float:
    values = plane[plane > HAZE]
    area = round(float(values.sum()))
    if area >= values.size:
        return 0.5 if area == 0 else HAZE
    # The next one below the area's share: whatever exceeds it is the object.
    place = values.size - area - 1
    return float(np.clip(np.partition(values, place)[place], HAZE, 0.5))


def decide_by_range(soft: np.ndarray, numbers: tuple[int, ...]) -> np.ndarray:
    """DINO's protocol: each label is stretched to [0, 1] over the frame, the highest wins.

    soft: (1 + K, H, W), background first. Returns (H, W) uint8 object numbers.
    """
    low = soft.min(axis=(1, 2), keepdims=True)
    span = np.maximum(soft.max(axis=(1, 2), keepdims=True) - low, 1e-6)
    # A plane that is zero everywhere holds no object and must not win anywhere.
    stretched = np.where(soft.max(axis=(1, 2), keepdims=True) > 0, (soft - low) / span, 0)
    return np.array([0, *numbers], dtype=np.uint8)[stretched.argmax(axis=0)]


def _box(plane: np.ndarray, margin: int) -> tuple[slice, slice] | None:
    """The rows and columns where a soft mask is not zero, with a margin; None where it is."""
    inside = plane > BOX_LEVEL
    rows, cols = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if rows.size == 0:
        return None
    return (
        slice(max(int(rows[0]) - margin, 0), int(rows[-1]) + margin + 1),
        slice(max(int(cols[0]) - margin, 0), int(cols[-1]) + margin + 1),
    )
