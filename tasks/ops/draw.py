"""Arrays as pictures: saliency, clusters, PCA colours, masks. Arrays in, (H, W, 3) uint8 out.

Nothing here resizes by itself: maps over patches are brought to the picture's size by
`preprocess.to_image_size` first. `draw_layout` puts pictures beside one another.
"""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib import colormaps

from tasks.ops.compose import ImageArray, MaskArray

GREEN = (0, 200, 120)
_GOLDEN_ANGLE = 137.50776405003785  # degrees: neighbouring numbers get far hues, none repeats
_DIM = 0.25


class ColourBasis(NamedTuple):
    """One linear map from descriptors to colours, for every picture of a set.

    Attributes:
        mean: (D,) float32, subtracted first.
        axes: (3, D) float32, orthonormal: what becomes red, green and blue.
        low, high: (3,) float32, the projections that become 0 and 255.
    """

    mean: npt.NDArray[np.float32]
    axes: npt.NDArray[np.float32]
    low: npt.NDArray[np.float32]
    high: npt.NDArray[np.float32]


def palette(count: int) -> npt.NDArray[np.uint8]:
    """Distinct colours, (count, 3) uint8 RGB; the first ones do not depend on the count."""
    numbers = np.arange(count)
    hue = (205 + numbers * _GOLDEN_ANGLE) % 360
    # Rings of lightness keep hues apart that come close after several turns.
    lightness = np.array([62, 80, 45])[numbers % 3]
    lab = np.stack(
        [
            lightness,
            56 * np.cos(np.deg2rad(hue)),
            56 * np.sin(np.deg2rad(hue)),
        ],
        axis=-1,
    ).astype(np.float32)
    rgb = cv2.cvtColor(lab[None], cv2.COLOR_Lab2RGB)[0] if count else np.zeros((0, 3))
    return np.asarray(np.clip(np.rint(rgb * 255), 0, 255), np.uint8)


def scalar_picture(
    values: npt.NDArray[np.floating], *, low: float = 0.0, high: float = 1.0, name: str = "inferno"
) -> ImageArray:
    """A map of numbers as colours.

    Args:
        values: (H, W), for instance saliency; NaN is drawn gray.
        low, high: the values of the map's first and last colour; beyond them it is clipped.
        name: one of matplotlib's colour maps.

    Raises:
        ValueError: high is not above low, or no such map.
    """
    if not high > low:
        raise ValueError(f"expected high above low, got low {low} and high {high}")
    if name not in colormaps:
        raise ValueError(f"expected one of matplotlib's colour maps, such as inferno; got {name!r}")
    share = (np.asarray(values, np.float32) - low) / (high - low)
    colours = colormaps[name](np.nan_to_num(np.clip(share, 0, 1)), bytes=True)[..., :3]
    colours[~np.isfinite(share)] = 128
    return np.asarray(colours, np.uint8)


def label_picture(
    labels: npt.NDArray[np.integer], colours: npt.NDArray[np.uint8] | None = None
) -> ImageArray:
    """Labels as flat colours.

    Args:
        labels: (H, W); negative ones are drawn black.
        colours: (K, 3) uint8, one for each label; by default `palette`'s.

    Raises:
        ValueError: a label without a colour.
    """
    used = int(labels.max(initial=-1)) + 1
    table = palette(used) if colours is None else colours
    if used > len(table):
        raise ValueError(f"expected labels below {len(table)}, one a colour; got {used - 1}")
    table = np.concatenate([table, np.zeros((1, 3), np.uint8)])  # index -1: black
    return np.asarray(table[np.maximum(labels, -1)], np.uint8)


def fit_colour_basis(
    descriptors: npt.NDArray[np.floating], foreground: npt.NDArray[np.bool_] | None = None
) -> ColourBasis:
    """The three main axes of a set's descriptors, foreground first.

    The axes are those of the foreground alone, so that its parts get the strong colours and the
    background does not use them up. Each axis points to where its projections are skewed, which
    takes away the sign that PCA leaves open.

    Args:
        descriptors: (n, D), patches of all images of the set, in any order.
        foreground: (n,) bool; None, or fewer than four patches, means all.

    Raises:
        ValueError: fewer than four descriptors.
    """
    chosen = np.asarray(descriptors, np.float32)
    if len(chosen) < 4:
        raise ValueError(f"expected at least 4 descriptors to find 3 axes, got {len(chosen)}")
    if foreground is not None and np.count_nonzero(foreground) >= 4:
        chosen = chosen[foreground]
    mean = chosen.mean(axis=0)
    centred = chosen - mean
    _, vectors = np.linalg.eigh(centred.T @ centred)
    axes = vectors[:, ::-1][:, :3].T
    projected = centred @ axes.T
    skew = np.mean(projected**3, axis=0)
    sign = np.where(skew < 0, -1, 1)
    low, high = np.percentile(projected * sign, (1, 99), axis=0)
    high = np.maximum(high, low + 1e-6)  # identical descriptors: one colour, not a division by 0
    return ColourBasis(
        mean.astype(np.float32),
        (axes * sign[:, None]).astype(np.float32),
        low.astype(np.float32),
        high.astype(np.float32),
    )


def pca_picture(
    descriptors: npt.NDArray[np.floating],
    basis: ColourBasis,
    foreground: npt.NDArray[np.floating] | None = None,
) -> ImageArray:
    """Descriptors as colours in a set's common basis.

    Args:
        descriptors: (rows, cols, D).
        basis: of the set, see `fit_colour_basis`.
        foreground: (rows, cols) in [0, 1]; where it is 0, colours are dimmed.

    Returns:
        (rows, cols, 3) uint8.
    """
    projected = (np.asarray(descriptors, np.float32) - basis.mean) @ basis.axes.T
    share = np.clip((projected - basis.low) / (basis.high - basis.low), 0, 1)
    if foreground is not None:
        share = share * (_DIM + (1 - _DIM) * np.asarray(foreground, np.float32)[..., None])
    return np.asarray(np.rint(share * 255), np.uint8)


def mask_overlay(
    image: ImageArray,
    mask: MaskArray,
    *,
    colour: tuple[int, int, int] = GREEN,
    opacity: float = 0.35,
) -> ImageArray:
    """The image with its mask tinted and outlined, everything else dimmed a little.

    Args:
        image: (H, W, 3) uint8. mask: (H, W) bool. opacity: of the tint, in [0, 1].
    """
    _check_same_size(image, mask)
    light = image.astype(np.float32)
    tint = light * (1 - opacity) + np.array(colour, np.float32) * opacity
    mixed = np.where(mask[..., None], tint, light * 0.6)
    drawn = np.ascontiguousarray(np.rint(mixed).astype(np.uint8))
    return _outlined(drawn, mask, colour)


def label_overlay(
    image: ImageArray,
    labels: npt.NDArray[np.integer],
    colours: npt.NDArray[np.uint8] | None = None,
    *,
    opacity: float = 0.6,
) -> ImageArray:
    """The image under the colours of parts or objects; 0 is background and stays as it is.

    Args:
        image: (H, W, 3) uint8. labels: (H, W), 0 background, part k has colour k - 1.
        colours: (K, 3) uint8; by default `palette`'s.
    """
    _check_same_size(image, labels)
    flat = label_picture(np.asarray(labels, np.int64) - 1, colours).astype(np.float32)
    tint = image * (1 - opacity) + flat * opacity
    mixed = np.where((labels > 0)[..., None], tint, image * 0.6)
    drawn = np.ascontiguousarray(np.rint(mixed).astype(np.uint8))
    return _outlined(drawn, labels > 0, (255, 255, 255))


def draw_boxes(
    image: ImageArray,
    boxes_xyxy: npt.NDArray[np.floating],
    colours: npt.NDArray[np.uint8] | None = None,
) -> ImageArray:
    """The image with boxes, (P, 4) pixels, the right and bottom border exclusive."""
    drawn = image.copy()
    table = palette(len(boxes_xyxy)) if colours is None else colours
    width = max(1, round(max(image.shape[:2]) / 200))
    for box, colour in zip(np.rint(boxes_xyxy).astype(int), table, strict=False):
        left, top, right, bottom = (int(v) for v in box)
        tone = tuple(int(c) for c in colour)
        cv2.rectangle(drawn, (left, top), (right - 1, bottom - 1), tone, width)
    return drawn


def _outlined(drawn: ImageArray, mask: MaskArray, colour: tuple[int, int, int]) -> ImageArray:
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    width = max(1, round(max(drawn.shape[:2]) / 250))
    cv2.drawContours(drawn, outlines, -1, colour, width, cv2.LINE_AA)
    return drawn


def _check_same_size(image: ImageArray, values: npt.NDArray[np.generic]) -> None:
    if image.shape[:2] != values.shape:
        raise ValueError(
            f"expected a map of the image's size {image.shape[:2]}, got {values.shape}; "
            "bring it there with preprocess.to_image_size"
        )
