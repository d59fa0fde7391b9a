"""Results as files that any program opens: masks, indexed PNGs, tables, JSON."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from storage.errors import StorageError
from storage.files import exists, join, read_bytes, write_bytes

__all__ = [
    "VOC_PALETTE",
    "exists",
    "join",
    "open_picture",
    "read_bytes",
    "read_indexed_png",
    "read_json",
    "read_mask",
    "write_bytes",
    "write_csv",
    "write_indexed_png",
    "write_json",
    "write_mask",
    "write_rgb",
]


def _voc_palette() -> NDArray[np.uint8]:
    """(256, 3) uint8: the colour of index i as PASCAL VOC and DAVIS define it.

    Bits 0, 1, 2 of i go to the highest free bits of red, green, blue, then bits 3, 4, 5, and
    so on: neighbouring indices get the most different colours.
    """
    colours = np.zeros((256, 3), dtype=np.uint8)
    for index in range(256):
        for bit in range(8):
            channel, shift = bit % 3, 7 - bit // 3
            colours[index, channel] |= ((index >> bit) & 1) << shift
    return colours


VOC_PALETTE = _voc_palette()
VOC_PALETTE.setflags(write=False)


def write_mask(url: str, mask: NDArray[np.bool_]) -> str:
    """Write a mask, (H, W) bool, as a PNG of mode L with 0 and 255. Returns ``url``."""
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise StorageError(
            f"{url}: expected a mask of shape (H, W) and dtype bool, "
            f"got {mask.shape} {mask.dtype}; threshold it first."
        )
    return _write_png(url, Image.fromarray(mask.astype(np.uint8) * np.uint8(255)))


def read_mask(url: str) -> NDArray[np.bool_]:
    """A mask, (H, W) bool, from any image: true where a pixel, or its index, is not zero."""
    image = open_picture(url)
    pixels = np.asarray(image if image.mode in ("P", "L", "1") else image.convert("L"))
    return np.asarray(pixels != 0)


def write_indexed_png(
    url: str, labels: NDArray[np.integer[Any]], palette: NDArray[np.uint8] | None = None
) -> str:
    """Write label numbers as an indexed PNG. Returns ``url``.

    Args:
        url: where to.
        labels: (H, W) of any integer type, 0 to 255.
        palette: (K, 3) uint8 colours of the first K labels; default ``VOC_PALETTE``.
    """
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise StorageError(
            f"{url}: expected labels of shape (H, W) and an integer dtype, "
            f"got {labels.shape} {labels.dtype}."
        )
    if labels.size and (labels.min() < 0 or labels.max() > 255):
        raise StorageError(
            f"{url}: labels must lie in 0..255 to fit an indexed PNG, "
            f"got {labels.min()}..{labels.max()}."
        )
    colours = VOC_PALETTE if palette is None else np.asarray(palette, dtype=np.uint8)
    image = Image.fromarray(labels.astype(np.uint8))
    image.putpalette(colours.tobytes())
    return _write_png(url, image)


def read_indexed_png(url: str) -> NDArray[np.uint8]:
    """(H, W) uint8: the label numbers of an indexed or gray PNG, not its colours."""
    image = open_picture(url)
    if image.mode not in ("P", "L", "1"):
        raise StorageError(
            f"{url}: expected an indexed or gray PNG whose values are labels, got mode "
            f"{image.mode}. Save it with a palette."
        )
    return np.asarray(image).astype(np.uint8)


def open_picture(url: str) -> Image.Image:
    """Any image of results or masks, decoded, in its own mode."""
    data = read_bytes(url)
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except UnidentifiedImageError:
        reason = "of no known format"
    except Exception as error:  # noqa: BLE001 - Pillow's decoders raise nearly anything
        reason = str(error)
    else:
        return image
    # Not while Pillow's error is handled: it is an OSError, and would pass for a fault of the
    # storage, which is tried again.
    raise StorageError(f"{url}: not an image that can be read ({reason}).")


def write_rgb(url: str, pixels: NDArray[np.uint8], *, quality: int = 90) -> str:
    """Write (H, W, 3) uint8 as PNG, JPEG or WebP by the ending of ``url``. Returns ``url``."""
    formats = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
    ending = url[url.rfind(".") :].lower()
    if ending not in formats:
        raise StorageError(f"{url}: expected a name ending in {', '.join(formats)}.")
    buffer = io.BytesIO()
    options = {} if ending == ".png" else {"quality": quality}
    Image.fromarray(pixels).save(buffer, formats[ending], **options)
    write_bytes(url, buffer.getvalue())
    return url


def write_json(url: str, value: object) -> str:
    """Write strict JSON, indented, keys in their given order. Returns ``url``."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(url, (text + "\n").encode())
    return url


def read_json(url: str) -> Any:
    """The value of a JSON file."""
    try:
        return json.loads(read_bytes(url))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise StorageError(f"{url}: not valid JSON ({error}).") from error


def write_csv(url: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a table with a header line, commas and LF line ends. Returns ``url``."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise StorageError(
                f"{url}: row {number} has {len(row)} fields, the header has {len(header)}."
            )
        writer.writerow(row)
    write_bytes(url, buffer.getvalue().encode())
    return url


def _write_png(url: str, image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=False)
    write_bytes(url, buffer.getvalue())
    return url
