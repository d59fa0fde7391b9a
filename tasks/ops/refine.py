"""From a coarse foreground to a mask along the image's own edges."""

from typing import get_args

import cv2
import numpy as np

from tasks.ops.crf import dense_crf
from tasks.ops.kinds import Refinement

REFINEMENTS: tuple[Refinement, ...] = get_args(Refinement)

_ITERATIONS = 5
_EROSION = np.ones((7, 7), np.uint8)
# Both methods look at a few pixels around the outline and take time with the pixels: larger
# images are refined at this many pixels of their longer side, and the outline spread back.
_GRABCUT_SIDE = 1000
_CRF_SIDE = 256
_CRF_UNARY = 4.0  # nats between a sure foreground and an even one


def refine(
    image: np.ndarray,
    foreground: np.ndarray,
    method: Refinement = "grabcut",
    *,
    strongest: float = 0.0,
) -> np.ndarray:
    """The mask of `foreground`, its outline moved to where the colours change.

    Args:
        image: (H, W, 3) uint8, RGB.
        foreground: (H, W) float in [0, 1], foreground above 0.5; bool will do.
        method: ``grabcut`` (Rother et al. 2004, with the settings of Amir et al. 2021), or
            ``crf`` (`crf.dense_crf`), or ``none``: the foreground as it is.
        strongest: regions whose peak is below this share of the image's peak are dropped
            first, see `strong_regions`; 0 keeps all.

    Returns:
        (H, W) bool.

    Raises:
        ValueError: an unknown method, or image and foreground of different sizes.
    """
    if method not in REFINEMENTS:
        raise ValueError(f"refinement must be one of {', '.join(REFINEMENTS)}; got {method!r}")
    if image.shape[:2] != foreground.shape:
        raise ValueError(
            f"image and foreground must be of one size; got {image.shape[:2]} and "
            f"{foreground.shape}. Spread the patches with `to_image_size` first"
        )
    soft = np.asarray(foreground, dtype=np.float32)
    if method == "none":
        return np.asarray(soft > 0.5)
    soft = np.where(strong_regions(soft, strongest), soft, np.minimum(soft, 0.5))
    small, coarse = _shrunk(image, soft, _GRABCUT_SIDE if method == "grabcut" else _CRF_SIDE)
    if method == "grabcut":
        fitted = grabcut(small, coarse > 0.5).astype(np.float32)
    else:
        energy = _CRF_UNARY * (2 * coarse - 1)
        fitted = _crf(small, np.stack([energy, -energy]))
    if fitted.shape != soft.shape:
        fitted = cv2.resize(fitted, soft.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(fitted > 0.5)


def strong_regions(foreground: np.ndarray, strongest: float) -> np.ndarray:
    """The connected regions of a foreground that are as sure as the surest, or nearly so.

    The object that a set shares stands out from what merely resembles it, and every image has
    one: a region stays when its peak reaches `strongest` times the image's peak.

    Args:
        foreground: (H, W) float32 in [0, 1], foreground above 0.5.

    Returns:
        (H, W) bool.
    """
    count, regions = cv2.connectedComponents((foreground > 0.5).astype(np.uint8))
    peaks = np.zeros(count, dtype=np.float32)
    np.maximum.at(peaks, regions.ravel(), foreground.ravel())
    stays = peaks >= strongest * foreground.max()
    stays[0] = False
    return np.asarray(stays[regions])


def _crf(image: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """Probability of the second label; half the paper's reach, as the image is about half as
    large, and weights for a two-sided unary.
    """
    return dense_crf(
        image,
        energy,
        smooth_sigma=1.5,
        smooth_weight=1.0,
        bilateral_sigma=3.0,
        bilateral_weight=6.0,
    )[1]


def _shrunk(image: np.ndarray, soft: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    factor = side / max(soft.shape)
    if factor >= 1:
        return image, soft
    size = max(1, round(soft.shape[1] * factor)), max(1, round(soft.shape[0] * factor))
    return (
        cv2.resize(image, size, interpolation=cv2.INTER_AREA),
        cv2.resize(soft, size, interpolation=cv2.INTER_AREA),
    )


def grabcut(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """GrabCut with what survives a 7x7 erosion as sure foreground and sure background.

    Masks that leave nothing sure on one side are returned as they are: there is nothing to
    learn one of the two colour models from. The same input gives the same mask.

    Args:
        image: (H, W, 3) uint8. mask: (H, W) bool.
    """
    inside = cv2.erode(mask.astype(np.uint8), _EROSION).astype(bool)
    outside = cv2.erode((~mask).astype(np.uint8), _EROSION).astype(bool)
    if not inside.any() or not outside.any():
        return mask.copy()
    trimap = np.where(mask, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap[inside], trimap[outside] = cv2.GC_FGD, cv2.GC_BGD
    cv2.setRNGSeed(0)  # its k-means draws from OpenCV's global generator
    models = np.zeros((1, 65)), np.zeros((1, 65))
    bgr = np.ascontiguousarray(image[..., ::-1])
    cv2.grabCut(bgr, trimap, None, *models, _ITERATIONS, cv2.GC_INIT_WITH_MASK)
    return np.asarray((trimap == cv2.GC_FGD) | (trimap == cv2.GC_PR_FGD))
