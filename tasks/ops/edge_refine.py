"""Soft masks fitted to the picture: colours around each pixel, then an edge-aware filter."""

import cv2
import numpy as np

SURE = 1e-3  # no pixel is more certain than this, so that colours may overrule it
COLOUR_NOISE = 0.05  # standard deviation, of [0, 1], that any colour is allowed


def follow_colours(
    image: np.ndarray, soft: np.ndarray, *, radius: int, strength: float = 0.2
) -> np.ndarray:
    """Weigh a soft mask by how well each pixel's colour fits the object's around it.

    In a window about every pixel the colours of foreground and background, each weighted by the
    soft mask, are described by a mean and a variance for each channel; the log-likelihood ratio
    of the pixel's own colour, times `strength`, is added to the log-odds of the mask.

    Args:
        image: (H, W, 3) float32 in [0, 1]. soft: (H, W) float32 in [0, 1].
        radius: of the square window, in pixels. strength: 0 leaves the mask as it is.

    Returns:
        (H, W) float32 in [0, 1].
    """
    certain = np.clip(soft, SURE, 1 - SURE)
    fits = [_fit(image, weights, radius) for weights in (certain, 1 - certain)]
    odds = np.log(certain / (1 - certain)) + strength * (fits[0] - fits[1])
    result: np.ndarray = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
    return result.astype(np.float32)


def _fit(image: np.ndarray, weights: np.ndarray, radius: int) -> np.ndarray:
    """(H, W) log-likelihood of each pixel under the weighted colours of its window."""
    total = _mean(weights, radius)[..., None] + 1e-4
    mean = _mean(image * weights[..., None], radius) / total
    square = _mean(image**2 * weights[..., None], radius) / total
    variance = np.maximum(square - mean**2, 0) + COLOUR_NOISE**2
    result: np.ndarray = -0.5 * ((image - mean) ** 2 / variance + np.log(variance)).sum(axis=-1)
    return result


def guided_filter(
    image: np.ndarray, soft: np.ndarray, *, radius: int, epsilon: float = 1e-4
) -> np.ndarray:
    """He, Sun and Tang 2010, equations 19 to 21: the mask as a local linear map of the colours.

    Args:
        image: (H, W, 3) float32 in [0, 1]. soft: (H, W) float32 in [0, 1].
        radius: of the square window, in pixels. epsilon: variance of colour, of [0, 1] squared,
            below which a window counts as flat.

    Returns:
        (H, W) float32, clipped to [0, 1].
    """
    mean, level = _mean(image, radius), _mean(soft, radius)
    covariance = _mean(image * soft[..., None], radius) - mean * level[..., None]
    rr, rg, rb, gg, gb, bb = (
        _mean(image[..., i] * image[..., j], radius)
        - mean[..., i] * mean[..., j]
        + (epsilon if i == j else 0)
        for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    )
    # The inverse of the symmetric 3x3 matrix by its cofactors, for all windows at once.
    first = np.stack([gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg], axis=-1)
    second = np.stack([first[..., 1], rr * bb - rb * rb, rg * rb - rr * gb], axis=-1)
    third = np.stack([first[..., 2], second[..., 2], rr * gg - rg * rg], axis=-1)
    determinant = rr * first[..., 0] + rg * first[..., 1] + rb * first[..., 2]
    slope = np.stack(
        [(row * covariance).sum(axis=-1) / determinant for row in (first, second, third)], axis=-1
    )
    offset = level - (slope * mean).sum(axis=-1)
    filtered = (_mean(slope, radius) * image).sum(axis=-1) + _mean(offset, radius)
    return np.clip(filtered, 0, 1).astype(np.float32)


def _mean(values: np.ndarray, radius: int) -> np.ndarray:
    side = 2 * radius + 1
    smoothed: np.ndarray = cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT)
    return smoothed
