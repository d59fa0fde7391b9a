"""From a coarse foreground to a mask along the image's own edges."""

from typing import Literal, get_args

import cv2
import numpy as np

Refinement = Literal["grabcut", "none"]
REFINEMENTS: tuple[Refinement, ...] = get_args(Refinement)

_ITERATIONS = 5
_EROSION = np.ones((7, 7), np.uint8)


def refine(image: np.ndarray, foreground: np.ndarray, method: Refinement = "grabcut") -> np.ndarray:
    """The mask of `foreground`, its outline moved to where the colours change.

    Args:
        image: (H, W, 3) uint8, RGB.
        foreground: (H, W) float in [0, 1], foreground above 0.5; bool will do.
        method: ``grabcut`` (Rother et al. 2004, with the settings of Amir et al. 2021), or
            ``none``: the foreground as it is.

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
    hard = np.asarray(foreground, dtype=np.float32) > 0.5
    if method == "none":
        return hard
    return grabcut(image, hard)


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
