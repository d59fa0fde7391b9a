"""Descriptors small enough to travel to a browser, and what that does to their cosines.

A sketch keeps the strongest channels of the unit descriptors (the leading eigenvectors of their
second moment, not centred: these keep dot products best) as int8, with one offset and one scale
a channel. The offset matters for keys, whose common mean would otherwise use up the levels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tasks.ops.patch_grid import unit

_LEVELS = 127


class SketchBasis(NamedTuple):
    """How a set's descriptors are sketched.

    Attributes:
        axes: (channels, D) float32, orthonormal.
        offsets, scales: (channels,) float32; offset + scale x int8 value = projection.
    """

    axes: npt.NDArray[np.float32]
    offsets: npt.NDArray[np.float32]
    scales: npt.NDArray[np.float32]


class SketchError(NamedTuple):
    """What sketching changes.

    Attributes:
        mean, high: mean and 95th percentile of |cosine of sketches - cosine of descriptors|.
        same_best: share of patches whose best match is the same patch or one beside it.
    """

    mean: float
    high: float
    same_best: float


def fit_sketch(descriptors: npt.NDArray[np.floating], channels: int = 64) -> SketchBasis:
    """The basis for a set.

    Args:
        descriptors: (n, D), a sample of the set's patches, of any length.
        channels: kept, at most D.

    Raises:
        ValueError: no descriptor at all.
    """
    if len(descriptors) == 0:
        raise ValueError("expected at least one descriptor to fit a sketch, got none")
    vectors = unit(descriptors)
    axes = _leading_axes(vectors, channels)
    projected = vectors @ axes.T
    low, high = projected.min(axis=0), projected.max(axis=0)
    scales = np.maximum((high - low) / (2 * _LEVELS), 1e-9)
    return SketchBasis(axes, (low + high) / 2, scales.astype(np.float32))


def _leading_axes(vectors: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.float32]:
    """Right singular vectors (at most count, D), through the smaller of the two products."""
    if len(vectors) >= vectors.shape[1]:
        _, found = np.linalg.eigh(vectors.T @ vectors)
        return np.asarray(found[:, ::-1][:, :count].T, np.float32)
    values, found = np.linalg.eigh(vectors @ vectors.T)
    values, found = values[::-1][:count], found[:, ::-1][:, :count]
    kept = values > 1e-6 * values[0]  # smaller ones are rounding, and their axes noise
    return np.asarray((found[:, kept] / np.sqrt(values[kept])).T @ vectors, np.float32)


def sketch(descriptors: npt.NDArray[np.floating], basis: SketchBasis) -> npt.NDArray[np.int8]:
    """Descriptors (..., D) of any length to (..., channels) int8."""
    levels = (unit(descriptors) @ basis.axes.T - basis.offsets) / basis.scales
    return np.asarray(np.clip(np.rint(levels), -_LEVELS, _LEVELS), np.int8)


def sketch_cosine(
    first: npt.NDArray[np.int8], second: npt.NDArray[np.int8], basis: SketchBasis
) -> npt.NDArray[np.float32]:
    """Cosines from sketches: (n, channels), (m, channels) to (n, m) float32.

    The plain dot product: scaling both sides to unit length again would put what the dropped
    channels held, which is nearly orthogonal between patches, back in as if it agreed.
    """
    left = basis.offsets + basis.scales * first.astype(np.float32)
    right = basis.offsets + basis.scales * second.astype(np.float32)
    return np.asarray(left @ right.T, np.float32)


def measure_sketch(
    images: Sequence[npt.NDArray[np.floating]], basis: SketchBasis, *, patches: int = 64
) -> SketchError:
    """Compare sketches with full descriptors over neighbouring images of a set.

    Args:
        images: at least one of (rows, cols, D); each is compared with the next one.
        basis: of the set.
        patches: evenly spread patches of each image that are compared.
    """
    errors, same = [], []
    for number, source in enumerate(images):
        target = images[(number + 1) % len(images)]
        flat = source.reshape(-1, source.shape[-1])
        chosen = flat[np.linspace(0, len(flat) - 1, min(patches, len(flat))).astype(int)]
        other = target.reshape(-1, target.shape[-1])
        exact = unit(chosen) @ unit(other).T
        rough = sketch_cosine(sketch(chosen, basis), sketch(other, basis), basis)
        errors.append(np.abs(exact - rough).ravel())
        cols = target.shape[1]
        best, kept = exact.argmax(axis=1), rough.argmax(axis=1)
        apart = np.maximum(np.abs(best // cols - kept // cols), np.abs(best % cols - kept % cols))
        same.append(apart <= 1)
    every = np.concatenate(errors)
    return SketchError(
        float(every.mean()), float(np.percentile(every, 95)), float(np.concatenate(same).mean())
    )
