"""What an image's header tells before a pixel is decoded, with limits for hostile files."""

import io
import struct

from PIL import Image, UnidentifiedImageError

from storage.errors import UnreadableImageError

MAX_PIXELS = 100_000_000
MIN_SIDE = 8
_ORIENTATION = 0x0112
# "Major brands" of ISO/IEC 23008-12, in the first box of a file.
_HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))

# Pillow's own limit, from the header as ours, so that no warning comes below it.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS


def open_image(data: bytes, name: str, max_pixels: int, min_side: int) -> Image.Image:
    """Its header, read and checked; raises `UnreadableImageError`."""
    if not data:
        raise UnreadableImageError(name, "the file is empty (zero bytes)")
    try:
        image = Image.open(io.BytesIO(data))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableImageError(
            name, f"too many pixels, the limit is {max_pixels:,} ({error})"
        ) from error
    except UnidentifiedImageError as error:
        raise UnreadableImageError(name, _what_it_is(data)) from error
    except Exception as error:  # Pillow's plugins raise nearly anything on broken headers
        raise UnreadableImageError(name, f"broken image header ({error})") from error
    width, height = image.size
    if width * height > max_pixels:
        raise UnreadableImageError(
            name, f"too many pixels: {width}x{height}, the limit is {max_pixels:,}"
        )
    if min(width, height) < min_side:
        raise UnreadableImageError(
            name, f"too small: {width}x{height} pixels, the shorter side must be >= {min_side}"
        )
    return image


def _what_it_is(data: bytes) -> str:
    head = data[:512]
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        return "not an image: the file holds HTML or XML"
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        return "a HEIC file, which Pillow does not decode: convert it to JPEG"
    text = sum(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head)
    if text >= 0.95 * len(head):
        return "not an image: the file holds text"
    return "not an image of a known format, or cut off in its header"


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) after EXIF orientation; broken EXIF data count as none."""
    try:
        turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    except (OSError, ValueError, SyntaxError, struct.error):
        turned = False
    width, height = image.size
    return (height, width) if turned else (width, height)
