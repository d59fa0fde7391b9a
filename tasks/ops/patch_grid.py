"""Where patches lie: from an image's size to its grid, and between grid and pixels.

Three frames: ORIGINAL pixels (x, y) of the stored image; canvas pixels, those of the tensor
that enters the network after resizing and padding; grid (row, col), patch (0, 0) at 0.0.
Pixels are continuous: the top-left pixel spans 0 to 1, its centre is (0.5, 0.5).
"""

from dataclasses import dataclass

import numpy as np

from tasks.ops.kinds import Fit


@dataclass(frozen=True, slots=True)
class PatchGrid:
    """Geometry of one image's patches.

    rows, cols: of the grid. patch: side of a patch, canvas pixels. stride: (vertical,
    horizontal), canvas pixels. image: (width, height), original pixels. resized: (width,
    height) of the image on the canvas. offset: (x, y) of its top-left corner there.
    canvas: (width, height).
    """

    rows: int
    cols: int
    patch: int
    stride: tuple[int, int]
    image: tuple[int, int]
    resized: tuple[int, int]
    offset: tuple[int, int]
    canvas: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols)."""
        return self.rows, self.cols

    def centers_xy(self) -> np.ndarray:
        """Centres of all patches, (N, 2) float64, original pixels (x, y), row by row."""
        rows, cols = np.mgrid[: self.rows, : self.cols]
        return self.to_xy(np.stack([rows.ravel(), cols.ravel()], axis=-1))

    def to_xy(self, row_col: np.ndarray) -> np.ndarray:
        """Grid positions (..., 2) (row, col), fractional allowed, to original pixels (x, y)."""
        steps = np.asarray(row_col, dtype=np.float64)[..., ::-1] * self.stride[::-1]
        canvas = steps + self.patch / 2
        return (canvas - self.offset) * np.divide(self.image, self.resized)

    def to_row_col(self, xy: np.ndarray) -> np.ndarray:
        """Original pixels (..., 2) (x, y) to fractional grid positions (row, col), unclamped."""
        canvas = np.asarray(xy, dtype=np.float64) * np.divide(self.resized, self.image)
        steps = (canvas + self.offset - self.patch / 2) / self.stride[::-1]
        return steps[..., ::-1]


def plan_grid(
    width: int,
    height: int,
    *,
    patch: int,
    stride: tuple[int, int],
    size: int,
    fit: Fit = "short",
    multiple: int | None = None,
) -> PatchGrid:
    """The grid of an image of `width` x `height` original pixels.

    Args:
        patch: side of the model's patch. stride: see `PatchGrid`; must divide `patch`.
        size: target side in canvas pixels (ignored by ``native``).
        fit: ``short``: the short side becomes `size`, the other follows by ratio.
            ``long``: the same for the long side. ``square``: both become `size`, ratio lost.
            ``pad``: the long side becomes `size`, zeros around make a centred square.
            ``native``: no resizing; zeros at the right and bottom complete the last patch.
        multiple: sides of ``short`` and ``long`` are floored to a multiple of this, at least
            one patch; default `patch`. 1 keeps them as they are. The side that becomes `size`
            is floored to no more than whole patches.

    Raises:
        ValueError: a stride that does not divide the patch, or a size below one patch.
    """
    check_stride(patch, stride)
    if fit != "native" and size < patch:
        raise ValueError(f"size must be at least one patch ({patch} pixels); got {size}")
    multiple = patch if multiple is None else multiple
    if fit == "native":
        resized = (width, height)
        canvas = (_ceil(width, patch), _ceil(height, patch))
    elif fit == "square":
        resized = canvas = (size, size)
    elif fit == "pad":
        resized = _scaled(width, height, size / max(width, height))
        canvas = (size, size)
    else:
        side = min(width, height) if fit == "short" else max(width, height)
        scaled = _scaled(width, height, size / side)
        steps = [min(multiple, patch) if s == size else multiple for s in scaled]
        resized = (_floor(scaled[0], steps[0], patch), _floor(scaled[1], steps[1], patch))
        canvas = resized
    centred = fit == "pad"
    offset = ((canvas[0] - resized[0]) // 2, (canvas[1] - resized[1]) // 2) if centred else (0, 0)
    rows = 1 + (canvas[1] - patch) // stride[0]
    cols = 1 + (canvas[0] - patch) // stride[1]
    return PatchGrid(rows, cols, patch, stride, (width, height), resized, offset, canvas)


def check_stride(patch: int, stride: tuple[int, int]) -> None:
    """Raise ValueError, with the strides that would do, unless both divide `patch`."""
    if any(s < 1 or patch % s for s in stride):
        good = [d for d in range(1, patch + 1) if patch % d == 0]
        raise ValueError(
            f"stride {stride[0]}x{stride[1]} does not divide the model's patch size {patch}: "
            f"choose one of {good}"
        )


def unit(descriptors: np.ndarray) -> np.ndarray:
    """L2-normalise descriptors (..., D) to float32; zero vectors stay zero."""
    values = np.asarray(descriptors, dtype=np.float32)
    norms = np.linalg.norm(values, axis=-1, keepdims=True)
    return values / np.maximum(norms, np.float32(1e-12))


def _scaled(width: int, height: int, factor: float) -> tuple[int, int]:
    return max(1, round(width * factor)), max(1, round(height * factor))


def _floor(side: int, multiple: int, patch: int) -> int:
    return max(side // multiple * multiple, patch)


def _ceil(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple
