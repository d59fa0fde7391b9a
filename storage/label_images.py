"""Masks as people draw and export them: indexed, gray, 16 bits, coloured, cut out."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from storage.errors import StorageError
from storage.results import VOC_PALETTE, open_picture

__all__ = ["LabelImage", "read_label_image"]

_SHADES = 3  # gray values beside 0 up to which each is an object; more with white are soft edges
_WHITE = 250
_GRAYS = 64  # gray values from which on a cut-out is a photograph
_COLOURS = 16  # flat colours of a palette unknown; more are smooth edges or a photograph


class LabelImage(NamedTuple):
    """A mask's objects before they are numbered.

    values: (H, W) integers, 0 is background: numbers to 255, or where it is `coloured`
    red * 65536 + green * 256 + blue. palette: (256, 3) uint8 of an indexed file; None: it has none.
    """

    values: NDArray[np.integer[Any]]
    palette: NDArray[np.uint8] | None
    coloured: bool


def read_label_image(url: str) -> LabelImage:
    """Read a mask.

    Indexed and gray values are numbers. Gray with soft edges (many values, white the commonest
    beside black) is cut at one half; a single value of 16 bits is 255. Of a coloured picture
    each flat colour but black is an object, gray ones are read as gray. What is transparent is
    background; a cut-out photograph is the object itself.

    Raises:
        StorageError: no image, or a picture in which objects cannot be told.
    """
    image = open_picture(url)
    if image.mode == "P":
        return LabelImage(np.asarray(image), _palette(image), coloured=False)
    if image.mode == "1":
        return LabelImage(np.asarray(image).astype(np.uint8), None, coloured=False)
    if image.mode == "L":
        return LabelImage(_shades(np.asarray(image)), None, coloured=False)
    if image.mode.startswith("I"):
        return LabelImage(_wide(np.asarray(image), url), None, coloured=False)
    return _of_colours(image, url)


def _of_colours(image: Image.Image, url: str) -> LabelImage:
    rgba = np.asarray(image.convert("RGBA"))
    red, green, blue, alpha = np.moveaxis(rgba.astype(np.int32), -1, 0)
    opaque = alpha >= 128
    if not np.any((red != green) | (green != blue), where=opaque):
        gray = np.where(opaque, red, 0)
        if not opaque.all() and len(np.unique(gray)) not in range(2, _GRAYS):
            gray = np.where(opaque, 255, 0)
        return LabelImage(_shades(gray), None, coloured=False)
    values = np.where(opaque, red << 16 | green << 8 | blue, 0)
    colours = np.unique(values)
    if len(colours) <= _COLOURS or np.isin(colours, _VOC).all():
        return LabelImage(values, None, coloured=True)
    if not opaque.all():
        return LabelImage(opaque.astype(np.uint8) * 255, None, coloured=False)
    raise StorageError(
        f"{url}: expected a mask with one flat colour for each object on black; got {len(colours)} "
        "colours. Save it as an indexed or gray PNG, without smooth edges."
    )


def _shades(values: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
    """Gray values as numbers; soft edges of a white object are cut at one half."""
    found, counts = np.unique(values[values > 0], return_counts=True)
    white = found >= _WHITE
    if len(found) > _SHADES and counts[white].sum() >= counts[~white].max(initial=0):
        return np.where(values >= 128, 255, 0).astype(np.uint8)
    return values.astype(np.uint8)


def _wide(values: NDArray[np.integer[Any]], url: str) -> NDArray[np.uint8]:
    """Numbers of a file of 16 or 32 bits."""
    found = np.unique(values[values != 0])
    if len(found) == 1 and not 0 < found[0] <= 255:
        return (values != 0).astype(np.uint8) * 255
    if len(found) and not 0 < found.min() <= found.max() <= 255:
        raise StorageError(
            f"{url}: expected object numbers from 1 to 255; got {found.min()} to {found.max()}."
        )
    return values.astype(np.uint8)


def _palette(image: Image.Image) -> NDArray[np.uint8] | None:
    colours = image.getpalette("RGB")
    if colours is None:
        return None
    full = np.zeros((256, 3), dtype=np.uint8)
    full.reshape(-1)[: len(colours)] = colours
    return full


_VOC = VOC_PALETTE.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.int32)
