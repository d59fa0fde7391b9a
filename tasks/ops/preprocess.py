"""Pictures to the network's input, and maps back to pictures."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tasks.ops.kinds import Interpolation
from tasks.ops.patch_grid import PatchGrid

_RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_FLAT = 4  # levels of a channel, of 255: what compression adds to one colour


def one_colour(picture: np.ndarray) -> bool:
    """Whether (H, W, 3) uint8 shows nothing: whatever is found there is the model's own."""
    return bool(np.ptp(picture, axis=(0, 1)).max() <= _FLAT)


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


def to_batch(
    canvases: Sequence[np.ndarray],
    mean: Sequence[float],
    std: Sequence[float],
    device: str | torch.device = "cpu",
) -> Tensor:
    """Stack canvases (H, W, 3) uint8 of one size to (B, 3, H, W) float32, normalised, on `device`.

    mean, std: of each channel, in [0, 1]. Padding is normalised like black pixels. Bytes go to
    a GPU as bytes, from pinned memory, without waiting for it.
    """
    stacked = torch.from_numpy(np.stack(canvases))
    device = torch.device(device)
    if device.type == "cuda":
        stacked = stacked.pin_memory()
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
