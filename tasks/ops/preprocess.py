"""Pictures to the network's input, and maps back to pictures."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from tasks.ops.kinds import Interpolation
from tasks.ops.patch_grid import PatchGrid

_RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def to_canvas(
    image: np.ndarray, grid: PatchGrid, interpolation: Interpolation = "bicubic"
) -> np.ndarray:
    """Resize `image` (H, W, 3) uint8 and zero-pad it to `grid.canvas`; antialiased.

    Returns:
        (canvas height, canvas width, 3) uint8.
    """
    resized = image
    if grid.resized != (image.shape[1], image.shape[0]):
        picture = Image.fromarray(image).resize(grid.resized, _RESAMPLING[interpolation])
        resized = np.asarray(picture)
    if grid.canvas == grid.resized:
        return resized
    canvas = np.zeros((grid.canvas[1], grid.canvas[0], 3), dtype=np.uint8)
    left, top = grid.offset
    canvas[top : top + grid.resized[1], left : left + grid.resized[0]] = resized
    return canvas


def to_canvas_on_device(image: Tensor, grid: PatchGrid, interpolation: Interpolation) -> Tensor:
    """As `to_canvas`, where the pixels are: of the same filters, in float32 instead of integers.

    Args:
        image: (3, H, W) uint8 on any device. interpolation: bilinear or bicubic.

    Returns:
        (canvas height, canvas width, 3) uint8 on that device, a grey level or two from
        `to_canvas`'s here and there: Pillow rounds between its passes.
    """
    width, height = grid.resized
    resized = image
    if (width, height) != (image.shape[2], image.shape[1]):
        resized = F.interpolate(
            image[None].float(), (height, width), mode=interpolation, antialias=True
        )[0]
        resized = resized.round_().clamp_(0, 255).to(torch.uint8)
    if grid.canvas == grid.resized:
        return resized.permute(1, 2, 0)
    canvas = image.new_zeros((grid.canvas[1], grid.canvas[0], 3))
    left, top = grid.offset
    canvas[top : top + height, left : left + width] = resized.permute(1, 2, 0)
    return canvas


def upright(image: Tensor, orientation: int) -> Tensor:
    """An image (..., H, W) turned as the value of its EXIF orientation, 1 to 8, asks for."""
    if orientation in (5, 6, 7, 8):
        image = image.transpose(-2, -1)
    flips = {2: (-1,), 3: (-2, -1), 4: (-2,), 6: (-1,), 7: (-2, -1), 8: (-2,)}
    return image.flip(flips.get(orientation, ())).contiguous()


def to_batch(
    canvases: Sequence[np.ndarray | Tensor],
    mean: Sequence[float],
    std: Sequence[float],
    device: str | torch.device = "cpu",
) -> Tensor:
    """Stack canvases (H, W, 3) uint8 of one size to (B, 3, H, W) float32, normalised, on `device`.

    canvases: all arrays, or all tensors that are on `device` already. mean, std: of each channel,
    in [0, 1]. Padding is normalised like black pixels. Bytes go to a GPU as bytes, from pinned
    memory, without waiting for it.
    """
    device = torch.device(device)
    arrays = [canvas for canvas in canvases if isinstance(canvas, np.ndarray)]
    if arrays:
        stacked = torch.from_numpy(np.stack(arrays))
        if device.type == "cuda":
            stacked = stacked.pin_memory()
    else:
        stacked = torch.stack([canvas for canvas in canvases if isinstance(canvas, Tensor)])
    pixels = stacked.to(device, non_blocking=True).permute(0, 3, 1, 2).float()
    scale = torch.tensor([255.0 * s for s in std], device=device).view(1, 3, 1, 1)
    shift = torch.tensor([m / s for m, s in zip(mean, std, strict=True)], device=device)
    return (pixels / scale - shift.view(1, 3, 1, 1)).contiguous()


def to_image_size(values: np.ndarray, grid: PatchGrid, *, nearest: bool = False) -> np.ndarray:
    """Spread a map over the patches to the pixels of the original image.

    Every pixel takes the value at its own position in the grid: bilinear between patch
    centres (or of the nearest centre), constant outside the outermost centres.

    Args:
        values: (rows, cols) or (rows, cols, channels), any real dtype.

    Returns:
        (H, W) or (H, W, channels) of the original image; float32, or the input's dtype for
        `nearest`.
    """
    width, height = grid.image
    pixels_x = np.stack([np.arange(width) + 0.5, np.zeros(width)], axis=-1)
    pixels_y = np.stack([np.zeros(height), np.arange(height) + 0.5], axis=-1)
    cols = np.clip(grid.to_row_col(pixels_x)[:, 1], 0, grid.cols - 1)
    rows = np.clip(grid.to_row_col(pixels_y)[:, 0], 0, grid.rows - 1)
    if nearest:
        # Half-way pixels go to the lower patch on both axes, whatever the parity.
        index = np.ceil(rows - 0.5).astype(int)[:, None], np.ceil(cols - 0.5).astype(int)[None]
        return values[index]
    maps = np.asarray(values, dtype=np.float32)
    return _between(_between(maps, rows, axis=0), cols, axis=1)


def _between(maps: np.ndarray, positions: np.ndarray, axis: int) -> np.ndarray:
    """Linear interpolation along `axis` at fractional `positions` within its range.

    Exact and for any number of channels and pixels, where OpenCV's remap takes four channels,
    sides below 32,768 and fractions in steps of 1/32.
    """
    lower = np.floor(positions).astype(int)
    upper = np.minimum(lower + 1, maps.shape[axis] - 1)
    shape = [1] * maps.ndim
    shape[axis] = -1
    weight = (positions - lower).astype(np.float32).reshape(shape)
    first, second = maps.take(lower, axis), maps.take(upper, axis)
    return first + weight * (second - first)
