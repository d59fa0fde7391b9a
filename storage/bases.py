"""Bases of principal axes, kept in the store whose descriptors lie along them."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.errors import StoreCorruptError
from storage.files import create_exclusively, join, read_bytes

__all__ = ["Basis", "read_basis", "write_basis"]

_FIELDS = ("axes", "explained", "variance", "images", "patches")


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """What the channels of one array are.

    Attributes:
        axes: (D, k) float32, orthonormal columns: stored = descriptor @ axes.
        explained: (k,) float64, share of the mean squared length along each axis.
        variance: (k,) float64, share of the variance along each axis.
        images, patches: size of the sample that it was fitted on.
    """

    axes: NDArray[np.float32]
    explained: NDArray[np.float64]
    variance: NDArray[np.float64]
    images: int
    patches: int


def read_basis(url: str, array: str = "descriptors") -> Basis | None:
    """The basis of an array; None where its channels are the model's own."""
    file = _file(url, array)
    try:
        data = read_bytes(file)
    except FileNotFoundError:
        return None
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            values = {name: stored[name] for name in _FIELDS}
    except Exception as error:  # a broken zip raises nearly anything
        raise StoreCorruptError(
            f"{file}: damaged ({error}). Stored descriptors cannot be related to others without "
            "it: extract into a new store."
        ) from error
    return Basis(
        values["axes"],
        values["explained"],
        values["variance"],
        int(values["images"]),
        int(values["patches"]),
    )


def write_basis(url: str, basis: Basis, array: str = "descriptors") -> Basis:
    """Keep a basis unless one is there; the one that stands, for every machine alike."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        axes=basis.axes,
        explained=basis.explained,
        variance=basis.variance,
        images=np.asarray(basis.images),
        patches=np.asarray(basis.patches),
    )
    if create_exclusively(_file(url, array), buffer.getvalue()):
        return basis
    standing = read_basis(url, array)
    return basis if standing is None else standing


def _file(url: str, array: str) -> str:
    return join(url, "bases", f"{array}.npz")
