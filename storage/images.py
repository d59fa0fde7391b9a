"""Photographs of any format, size and depth as (H, W, 3) uint8, with limits for hostile files."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from storage.errors import UnreadableImageError
from storage.files import open_filesystem
from storage.headers import MAX_PIXELS, MIN_SIDE, open_image, upright_size
from storage.refs import ImageRef
from storage.sources import list_images

__all__ = [
    "MAX_PIXELS",
    "MIN_SIDE",
    "ImageRef",
    "decode_image",
    "image_size",
    "list_images",
    "read_image",
]

# Enough for the header of nearly every photograph, EXIF block and thumbnail included.
_HEADER_BYTES = 65_536
_FRAME = re.compile(r"#frame=(-?\d+)&seconds=[-.\d]+$")
_MEMBER = re.compile(r"#tar=(\d+):(\d+)$")


# From (width, height) of a picture, upright, to the least that its decoded pixels must measure.
AtLeast = Callable[[int, int], tuple[int, int]]


def read_image(
    ref: ImageRef,
    *,
    max_pixels: int = MAX_PIXELS,
    min_side: int = MIN_SIDE,
    at_least: AtLeast | None = None,
) -> NDArray[np.uint8]:
    """Read and decode one image.

    Args:
        ref: an entry of ``list_images``.
        max_pixels: images with more are refused from their header, before decoding.
        min_side: images with a shorter side, in pixels, are refused.
        at_least: lets a JPEG file be decoded to a half, a quarter or an eighth of its size, as
            its format can, while it stays as large as this says: a photograph of 12 megapixels
            in a fifth of the time.

    Returns:
        (H, W, 3) uint8 RGB, upright by its EXIF orientation. Transparency is laid over white,
        16 bits are scaled to 8, of an animation comes the first frame.

    Raises:
        UnreadableImageError: the bytes are no image that can be used, or the file is gone.
        Exception: whatever the filesystem raises on a fault; ``is_storage_fault`` tells.
    """
    if (frame := _frame_of(ref)) is not None:
        from storage.frames import read_frame

        return read_frame(*open_filesystem(frame.video), frame.stamp, ref.name)
    return decode_image(
        read_member(ref),
        ref.name,
        max_pixels=max_pixels,
        min_side=min_side,
        at_least=at_least,
    )


def decode_image(
    data: bytes,
    name: str,
    *,
    max_pixels: int = MAX_PIXELS,
    min_side: int = MIN_SIDE,
    at_least: AtLeast | None = None,
) -> NDArray[np.uint8]:
    """``read_image`` for bytes that are at hand; ``name`` is for the errors."""
    image = open_image(data, name, max_pixels, min_side)
    try:
        if at_least is not None:
            _draft(image, at_least)
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return np.asarray(_to_rgb(image), dtype=np.uint8)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on broken data
        raise UnreadableImageError(name, f"broken image data ({error})") from error


def _draft(image: Image.Image, at_least: AtLeast) -> None:
    upright = upright_size(image)
    wanted = at_least(*upright)
    image.draft(None, wanted if upright == image.size else wanted[::-1])  # nothing but for JPEG


def image_size(
    ref: ImageRef, *, max_pixels: int = MAX_PIXELS, min_side: int = MIN_SIDE
) -> tuple[int, int]:
    """(width, height) in pixels after EXIF orientation, from the header alone.

    Raises:
        UnreadableImageError: as ``read_image``, except for faults further inside the file.
    """
    if (frame := _frame_of(ref)) is not None:
        from storage.frames import frame_size

        return frame_size(*open_filesystem(frame.video), ref.name)
    try:
        image = open_image(_header(ref), ref.name, max_pixels, min_side)
        size = upright_size(image)
    except UnreadableImageError as error:
        # A long EXIF block or a TIFF directory at the end of the file: only the whole file tells.
        if ref.bytes <= _HEADER_BYTES or "pixels" in error.reason:
            raise
        image = open_image(read_member(ref), ref.name, max_pixels, min_side)
        size = upright_size(image)
    return size


class _Frame(NamedTuple):
    video: str
    stamp: int


def _frame_of(ref: ImageRef) -> _Frame | None:
    """The video and time stamp that a reference points to, if it does."""
    match = _FRAME.search(ref.url)
    return None if match is None else _Frame(ref.url[: match.start()], int(match.group(1)))


def read_member(ref: ImageRef, start: int = 0, end: int | None = None) -> bytes:
    """Bytes ``start`` to ``end`` of an image's file or of its member in an archive."""
    if ref.why_broken is not None:
        raise UnreadableImageError(ref.name, ref.why_broken)
    match = _MEMBER.search(ref.url)
    if match is not None:
        offset, size = (int(number) for number in match.groups())
        stop = offset + (size if end is None else min(end, size))
        return _fetch(ref, ref.url[: match.start()], offset + start, stop)
    whole = start == 0 and end is None
    return _fetch(ref, ref.url, None if whole else start, None if whole else end)


def _header(ref: ImageRef) -> bytes:
    # A range beyond the end of an empty file is an error on object stores.
    if ref.bytes == 0 and ref.why_broken is None:
        return b""
    return read_member(ref, 0, min(_HEADER_BYTES, ref.bytes))


def _fetch(ref: ImageRef, url: str, start: int | None, end: int | None) -> bytes:
    fs, path = open_filesystem(url)
    try:
        return bytes(fs.cat_file(path, start=start, end=end))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UnreadableImageError(ref.name, "gone since the source was listed") from error
    except PermissionError as error:
        # On a disk it concerns one file; from a bucket it is the credentials, for all of them.
        if "file" in fs.protocol:
            raise UnreadableImageError(ref.name, "no permission to read the file") from error
        raise


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return _gray(np.asarray(image) / 257)
    if image.mode in ("I", "F"):
        return _gray(_to_byte_range(np.asarray(image).astype(np.float32)))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        paper = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(paper, image.convert("RGBA")).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _gray(values: NDArray[Any]) -> Image.Image:
    return Image.fromarray(np.rint(values).clip(0, 255).astype(np.uint8)).convert("RGB")


def _to_byte_range(values: NDArray[Any]) -> NDArray[Any]:
    """Values whose file does not tell their range: unit, 8-bit or 16-bit, by the largest."""
    values = np.nan_to_num(values)
    top = float(values.max(initial=0.0))
    if top <= 1.0:
        return values * 255
    return values if top <= 255.0 else values / 257
