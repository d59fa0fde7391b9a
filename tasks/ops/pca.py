"""Fewer channels that keep the dot products: the leading axes of the second moment."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["PrincipalAxes", "fit_axes", "project"]


@dataclass(frozen=True, slots=True, eq=False)
class PrincipalAxes:
    """An orthonormal basis of a subspace of the channels.

    Attributes:
        axes: (D, k) float32, columns by falling share, each with its largest entry positive.
        explained: (k,) float64: share of the mean squared length along each axis, in [0, 1].
        variance: (k,) float64: share of the variance about the mean along each axis.
    """

    axes: NDArray[np.float32]
    explained: NDArray[np.float64]
    variance: NDArray[np.float64]


def fit_axes(sample: NDArray[np.floating], count: int) -> PrincipalAxes:
    """The ``count`` axes that keep most of the sample's squared length (Eckart and Young 1936).

    The mean is not subtracted: cosines are taken about zero, and x . y = (V'x) . (V'y) for all
    that lies in the subspace, so that what works on descriptors works on their projections.

    Args:
        sample: (N, D) descriptors.
        count: number of axes, 1 to min(N, D).
    """
    values = np.asarray(sample, dtype=np.float64)
    if values.ndim != 2 or not 1 <= count <= min(values.shape):
        raise ValueError(
            f"expected a sample (N, D) with N and D at least {count}, got {values.shape}."
        )
    moment = values.T @ values / len(values)
    shares, vectors = np.linalg.eigh(moment)
    vectors = vectors[:, ::-1][:, :count]
    peaks = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.sign(vectors[peaks, np.arange(count)])
    explained = shares[::-1][:count].clip(0) / max(float(np.trace(moment)), np.finfo(float).tiny)
    centred = values - values.mean(axis=0)
    total = max(float((centred**2).sum()), np.finfo(float).tiny)
    variance = ((centred @ vectors) ** 2).sum(axis=0) / total
    return PrincipalAxes(vectors.astype(np.float32), explained, variance)


def project(descriptors: NDArray[np.floating], axes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(..., k) float32: coordinates of (..., D) descriptors along axes (D, k)."""
    return np.asarray(descriptors, dtype=np.float32) @ axes
