"""Pictures with a known answer: an object cut from one photograph and pasted over another.

Composed pictures are how the demo measures itself: the mask of what was pasted is exact by
construction, up to the half-covered pixels along its edge. Colours are blended premultiplied
with coverage, so that nothing of the object's old surroundings bleeds into the new ones.
"""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

ImageArray = npt.NDArray[np.uint8]
MaskArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]

_RED_GAIN, _BLUE_GAIN = (
    0.35,
    0.45,
)  # channel gain at warmth 1: about 6500 K towards 3200 K


class CutOut(NamedTuple):
    """An object without its surroundings, cropped to its bounding box.

    Attributes:
        image: (h, w, 3) uint8, RGB; what lies outside of the object is meaningless.
        coverage: (h, w) float32 in [0, 1], the share of each pixel that the object covers.
    """

    image: ImageArray
    coverage: FloatArray


class Composite(NamedTuple):
    """A composed picture and its exact answer.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        mask: (H, W) bool, where the object covers at least half of the pixel.
    """

    image: ImageArray
    mask: MaskArray


def cut_out(image: ImageArray, mask: MaskArray) -> CutOut:
    """The object under a mask, cropped to the mask's bounding box.

    Args:
        image: (H, W, 3) uint8, RGB.
        mask: (H, W) bool, the object.

    Raises:
        ValueError: image and mask differ in size, or the mask is empty.
    """
    if image.shape[:2] != mask.shape:
        raise ValueError(
            f"expected a mask of the image's size {image.shape[:2]}, got {mask.shape}; "
            "draw the mask on this image"
        )
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        raise ValueError("expected a mask with an object in it, got one without a single pixel")
    window = (slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1))
    return CutOut(image[window].copy(), mask[window].astype(np.float32))


def relight(
    image: ImageArray,
    *,
    brightness: float = 1.0,
    contrast: float = 1.0,
    warmth: float = 0.0,
) -> ImageArray:
    """The picture under another light.

    Args:
        image: (H, W, 3) uint8, RGB.
        brightness: factor on every channel; 1 leaves it.
        contrast: factor on the distance to the picture's own mean; 1 leaves it.
        warmth: in [-1, 1]; above 0 towards the red of a lamp, below 0 towards a blue sky.

    Returns:
        (H, W, 3) uint8, RGB, clipped to [0, 255].
    """
    light = image.astype(np.float32) * brightness
    light = (light - light.mean()) * contrast + light.mean()
    light *= np.array([1 + _RED_GAIN * warmth, 1.0, 1 - _BLUE_GAIN * warmth], np.float32)
    return _bytes(light)


def paste(
    background: ImageArray,
    thing: CutOut,
    *,
    centre: tuple[float, float],
    height: float,
    degrees: float = 0.0,
    flip: bool = False,
    softness: float = 0.7,
) -> Composite:
    """Put a cut-out object over a background.

    Args:
        background: (H, W, 3) uint8, RGB.
        thing: the object.
        centre: (x, y), pixels of the background, where the middle of the object's box comes.
        height: of the object's box before it is turned, in pixels of the background.
        degrees: counter-clockwise turn about the middle.
        flip: mirror left and right, before the turn.
        softness: sigma in pixels of the edge's blur; 0 gives a hard edge.

    Returns:
        The picture and the object's mask, both of the background's size. What of the object
        lies outside of the background is lost.

    Raises:
        ValueError: the height is not positive, or no pixel of the object falls inside.
    """
    if height <= 0:
        raise ValueError(f"expected a positive height in pixels, got {height}")
    colour, coverage = _scaled(thing, height / thing.coverage.shape[0], flip)
    rows, cols = background.shape[:2]
    turn = cv2.getRotationMatrix2D(_middle(coverage), degrees, 1.0)
    # Continuous pixel coordinates have the first pixel's centre at 0.5, OpenCV's at 0.
    turn[:, 2] += np.subtract(np.subtract(centre, 0.5), _middle(coverage))
    colour, coverage = _edged(
        _warped(colour, turn, (cols, rows)),
        _warped(coverage, turn, (cols, rows)),
        softness,
    )
    mask = coverage >= 0.5
    if not mask.any():
        raise ValueError(
            f"expected a centre at which the object shows, got {centre} for a background of "
            f"{cols}x{rows} pixels; move it inside"
        )
    share = coverage[:, :, None]
    return Composite(_bytes(share * colour + (1 - share) * background), mask)


def _edged(
    colour: FloatArray, coverage: FloatArray, softness: float
) -> tuple[FloatArray, FloatArray]:
    """Plain colour and final coverage, from premultiplied colour and sharp coverage.

    The edge is blurred, the object is not: a pixel that the object mostly covers keeps its own
    colour, one beyond the edge takes the mean colour of the object close by.
    """
    if softness <= 0:
        whole = np.maximum(coverage, 1e-6)[:, :, None]
        return (colour / whole).astype(np.float32), (coverage >= 0.5).astype(np.float32)
    soft = cv2.GaussianBlur(coverage, (0, 0), softness)
    spread = cv2.GaussianBlur(colour, (0, 0), softness) / np.maximum(soft, 1e-6)[:, :, None]
    own = colour / np.maximum(coverage, 0.5)[:, :, None]
    plain = np.where(coverage[:, :, None] > 0.5, own, spread)
    return plain.astype(np.float32), np.asarray(soft, np.float32)


def _warped(
    values: FloatArray, affine: npt.NDArray[np.float64], size: tuple[int, int]
) -> FloatArray:
    """Values under an affine map, zero where nothing comes from; size is (width, height)."""
    return np.asarray(cv2.warpAffine(values, affine, size, flags=cv2.INTER_LINEAR), np.float32)


def _bytes(values: npt.NDArray[np.floating]) -> ImageArray:
    """Rounded and clipped to [0, 255]."""
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def _middle(coverage: FloatArray) -> tuple[float, float]:
    """(x, y) of the middle of a picture, with the first pixel's centre at 0."""
    rows, cols = coverage.shape
    return ((cols - 1) / 2, (rows - 1) / 2)


def _scaled(thing: CutOut, scale: float, flip: bool) -> tuple[FloatArray, FloatArray]:
    """Premultiplied colour (h, w, 3) and coverage (h, w) of the object at another scale."""
    image, coverage = thing
    if flip:
        image, coverage = image[:, ::-1], coverage[:, ::-1]
    rows = max(1, round(coverage.shape[0] * scale))
    cols = max(1, round(coverage.shape[1] * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    premultiplied = image.astype(np.float32) * coverage[:, :, None]
    return (
        np.asarray(cv2.resize(premultiplied, (cols, rows), interpolation=way), np.float32),
        np.asarray(cv2.resize(coverage, (cols, rows), interpolation=way), np.float32),
    )
