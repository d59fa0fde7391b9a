"""JPEG files decoded and resized where the model is: nvJPEG, through torchvision."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from storage.headers import JpegHeader
from tasks.ops.kinds import Interpolation
from tasks.ops.patch_grid import PatchGrid
from tasks.ops.preprocess import to_canvas_on_device, upright

# Pixels that are decoded at a time: a batch of large photographs would fill the GPU.
_PIXELS = 2**26

Decoder = Callable[[list[Tensor], str], list[Tensor]]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A JPEG file in colour or grey and what its header says."""

    data: bytes
    header: JpegHeader


def nvjpeg(files: list[Tensor], device: str) -> list[Tensor]:
    """Files (bytes,) uint8 to images (3, H, W) uint8 on `device`, not turned.

    Raises:
        RuntimeError: one of the files cannot be decoded.
    """
    from torchvision.io import ImageReadMode, decode_jpeg

    return list(decode_jpeg(files, mode=ImageReadMode.RGB, device=device))


def decode_jpegs(
    files: Sequence[Encoded],
    grids: Sequence[PatchGrid],
    interpolation: Interpolation,
    device: str,
    *,
    decoder: Decoder = nvjpeg,
) -> list[Tensor | None]:
    """Canvases (H, W, 3) uint8 on `device`, one for each file; None where it cannot be decoded.

    Args:
        grids: where each picture goes on its canvas. decoder: turns files into pixels.
    """
    canvases: list[Tensor | None] = []
    for first, last in _runs([f.header.width * f.header.height for f in files]):
        images = _decode([f.data for f in files[first:last]], device, decoder)
        for image, file, grid in zip(images, files[first:last], grids[first:last], strict=True):
            if image is None or image.shape[-2:] != (file.header.height, file.header.width):
                canvases.append(None)
                continue
            turned = upright(image, file.header.orientation)
            canvases.append(to_canvas_on_device(turned, grid, interpolation))
    return canvases


def _decode(files: Sequence[bytes], device: str, decoder: Decoder) -> list[Tensor | None]:
    """All at once, and one by one where one of them stops all."""
    encoded = [torch.frombuffer(bytearray(data), dtype=torch.uint8) for data in files]
    try:
        return list(decoder(encoded, device))
    except RuntimeError:
        if len(files) == 1:
            return [None]
        return [_decode([data], device, decoder)[0] for data in files]


def _runs(pixels: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Slices of at most `_PIXELS` pixels together, or of one file that has more."""
    first, held = 0, 0
    for number, count in enumerate(pixels):
        if number > first and held + count > _PIXELS:
            yield first, number
            first, held = number, 0
        held += count
    if first < len(pixels):
        yield first, len(pixels)
