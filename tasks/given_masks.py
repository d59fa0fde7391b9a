"""Masks that a user gives: one for the first frame, or a folder of them for any frames."""

import hashlib
import posixpath
from dataclasses import dataclass

import numpy as np

from storage.errors import StorageError
from storage.files import basename, join, list_folder, open_filesystem, read_bytes
from storage.label_images import LabelImage, read_label_image
from storage.results import VOC_PALETTE
from storage.videos import Clip, frame_names

_VOID = 255  # DAVIS marks pixels that do not count with it, beside numbered objects


@dataclass(frozen=True, slots=True, eq=False)
class GivenMasks:
    """Known masks of one clip.

    by_frame: frame index -> (H, W) uint8 object numbers, all of one size. numbers: of all
    objects. palette: (256, 3) uint8. digest: of the files.
    """

    by_frame: dict[int, np.ndarray]
    numbers: tuple[int, ...]
    palette: np.ndarray
    digest: str

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the masks."""
        height, width = next(iter(self.by_frame.values())).shape
        return width, height


def read_given(url: str, clip: Clip) -> GivenMasks:
    """The masks in a PNG, or in a folder of PNGs named like the frames.

    A single file belongs to the frame of its own name, or else to the first one.

    Raises:
        StorageError: nothing there, a name that no frame has, masks of different sizes, or no
            object in any of them.
    """
    files = _files(url, clip)
    masks, palette = _numbered(url, {i: read_label_image(file) for i, file in files.items()})
    shapes = {mask.shape for mask in masks.values()}
    if len(shapes) > 1:
        raise StorageError(f"{url}: expected masks of one size (H, W); got {sorted(shapes)}")
    numbers = sorted({int(n) for mask in masks.values() for n in np.unique(mask)} - {0})
    if len(numbers) > 1 and _VOID in numbers:
        numbers.remove(_VOID)
        for mask in masks.values():
            mask[mask == _VOID] = 0
    if not numbers:
        raise StorageError(
            f"{url}: holds no object, all pixels are 0. Give a mask whose objects have the "
            "numbers 1, 2, ... (or 255), or leave it out to follow the salient object."
        )
    digest = hashlib.sha256(b"".join(read_bytes(files[i]) for i in sorted(files))).hexdigest()
    return GivenMasks(masks, tuple(numbers), palette, digest)


def fits(given: GivenMasks, width: int, height: int) -> bool:
    """Whether masks and a frame have the same proportions, within 2 %."""
    return 0.98 < given.size[0] / given.size[1] * height / width < 1.02


def check_shape(given: GivenMasks, width: int, height: int) -> None:
    """Raise StorageError unless masks and frames have the same proportions (within 2 %)."""
    if not fits(given, width, height):
        raise StorageError(
            f"the mask's size {given.size[0]}x{given.size[1]} does not fit frames of "
            f"{width}x{height}: their proportions differ. Crop or pad it like the frames."
        )


def _files(url: str, clip: Clip) -> dict[int, str]:
    fs, path = open_filesystem(url)
    if not fs.exists(path):
        raise StorageError(f"{url}: no such file or folder. Expected a mask as an indexed PNG.")
    if not fs.isdir(path):
        return {_index(basename(url), clip) or 0: url}
    names = [name for name in list_folder(url) if name.lower().endswith(".png")]
    indices = {name: _index(name, clip) for name in names}
    unknown = [name for name, index in indices.items() if index is None]
    if unknown or not names:
        found = f"no frame is called like {', '.join(unknown[:3])}" if unknown else "no PNG there"
        raise StorageError(f"{url}: {found}. Name each mask like its frame, e.g. 00042.png.")
    return {index: join(url, name) for name, index in indices.items() if index is not None}


def _index(name: str, clip: Clip) -> int | None:
    """The frame that a mask's file name means, None where there is none."""
    stem = posixpath.splitext(name)[0]
    if clip.fps is not None:
        return int(stem) if stem.isdecimal() and int(stem) < (clip.count or 10**9) else None
    stems = frame_names(clip)
    return stems.index(stem) if stem in stems else None


def _numbered(url: str, images: dict[int, LabelImage]) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """(H, W) uint8 object numbers of each frame, and the (256, 3) uint8 palette of all.

    Colours have their number in the indexed files' palette, or else DAVIS's; where that lacks
    one, all are numbered from 1. Gray numbers keep their gray.
    """
    palette = next((i.palette for i in images.values() if i.palette is not None), None)
    coloured = [image.values for image in images.values() if image.coloured]
    found = sorted({int(code) for values in coloured for code in np.unique(values)} - {0})
    if palette is None:
        palette = VOC_PALETTE.copy() if coloured else np.repeat(np.arange(256)[:, None], 3, axis=1)
        if not set(found) <= set(_codes(palette)) and len(found) < len(palette):
            palette = np.array([[0, 0, 0], *([c >> 16, c >> 8 & 255, c & 255] for c in found)])
    numbers = {0: 0} | {code: n for n, code in reversed([*enumerate(_codes(palette))]) if code}
    if not set(found) <= set(numbers):
        raise StorageError(
            f"{url}: the masks' colours are not those of one palette. Save all as indexed PNGs "
            "of one palette."
        )
    masks = {}
    for index, image in images.items():
        masks[index] = image.values.astype(np.uint8)
        if image.coloured:
            codes, places = np.unique(image.values, return_inverse=True)
            wanted = np.array([numbers[int(code)] for code in codes], np.uint8)
            masks[index] = wanted[places].reshape(image.values.shape)
    full = np.zeros((256, 3), np.uint8)
    full[: len(palette)] = palette
    return masks, full


def _codes(palette: np.ndarray) -> list[int]:
    """Each colour as red * 65536 + green * 256 + blue."""
    codes: list[int] = (palette.astype(np.int64) @ [1 << 16, 1 << 8, 1]).tolist()
    return codes
