"""Few axes that keep the inner products of many channels: of joined facets, of log-bins."""

from collections.abc import Iterable

import numpy as np

_PATCHES = 6000  # that axes are fitted on


def axes_of_maps(maps: Iterable[np.ndarray], count: int, channels: int = 128) -> np.ndarray:
    """`principal_axes` (D, C) of evenly spaced patches of `count` maps (rows, cols, D), of which
    one is in memory at a time.
    """
    each = -(-_PATCHES // count)
    sample = []
    for one in maps:
        flat = one.reshape(-1, one.shape[-1])
        sample.append(flat[:: max(1, len(flat) // each)].copy())  # a view would keep all of it
    return principal_axes(np.concatenate(sample), channels)


def principal_axes(sample: np.ndarray, channels: int = 128) -> np.ndarray:
    """Axes (D, C) float32 that keep most of the inner products of a sample (P, D); C <= channels.

    Not centred, so that cosines survive: eigenvectors of the second moment.
    """
    points = np.asarray(sample, dtype=np.float32)
    _, axes = np.linalg.eigh((points.T @ points).astype(np.float64))
    return np.ascontiguousarray(axes[:, ::-1][:, :channels], dtype=np.float32)
