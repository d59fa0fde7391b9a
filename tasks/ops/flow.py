"""Dense flow: where every pixel of one image lies in another; Middlebury's file of it; warping.

A ``.flo`` file holds the number 202021.25, the width and the height (int32), then a
displacement (x, y) for each pixel, row by row, all little-endian; from 1e9 on it is unknown.
"""

import cv2
import numpy as np

UNKNOWN = 1e10
_KNOWN_BELOW = 1e9
_MAGIC = np.array([202021.25], dtype="<f4").tobytes()


def encode_flow(flow: np.ndarray) -> bytes:
    """Displacements (H, W, 2) float32, pixels (x, y), NaN where unknown, as a .flo file."""
    values = np.where(np.isnan(flow), np.float32(UNKNOWN), flow).astype("<f4")
    return _MAGIC + np.array(values.shape[1::-1], dtype="<i4").tobytes() + values.tobytes()


def decode_flow(data: bytes) -> np.ndarray:
    """Displacements (H, W, 2) float32 of a .flo file, pixels (x, y), NaN where unknown.

    Raises:
        ValueError: another kind of file, or one that is cut off.
    """
    if len(data) < 12 or data[:4] != _MAGIC:
        raise ValueError(f"expected a .flo file, which begins with {_MAGIC!r}; got {data[:4]!r}")
    width, height = (int(side) for side in np.frombuffer(data, "<i4", 2, 4))
    expected = 12 + 8 * width * height
    if width < 1 or height < 1 or len(data) != expected:
        raise ValueError(
            f"expected {expected} bytes of a .flo file of {width}x{height} pixels; got {len(data)}"
        )
    flow = np.frombuffer(data, "<f4", offset=12).reshape(height, width, 2).astype(np.float32)
    flow[~(np.abs(flow) < _KNOWN_BELOW).all(axis=-1)] = np.nan
    return flow


def displacements(xy: np.ndarray) -> np.ndarray:
    """Positions (H, W, 2) of every pixel in another image to how far each has moved, float32."""
    return np.asarray(xy - _centres(xy), dtype=np.float32)


def positions(flow: np.ndarray) -> np.ndarray:
    """Displacements (H, W, 2) to positions: the inverse of `displacements`."""
    return np.asarray(flow + _centres(flow), dtype=np.float32)


def _centres(values: np.ndarray) -> np.ndarray:
    height, width = values.shape[:2]
    return np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1)


def warp(image: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """The image (H', W', 3) uint8 as seen through positions `xy` (H, W, 2), its pixels (x, y).

    Bilinear; white where a position is NaN or lies outside the image.
    """
    at = np.nan_to_num(np.asarray(xy, dtype=np.float32) - np.float32(0.5), nan=-1e4)
    seen = cv2.remap(
        image,
        at[..., 0],
        at[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(255, 255, 255),
    )
    return np.asarray(seen, dtype=np.uint8)
