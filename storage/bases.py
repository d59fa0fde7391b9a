"""Bases of principal axes, kept in the store whose descriptors lie along them."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.errors import StoreCorruptError
from storage.files import create_exclusively, join, read_bytes
from storage.sealed import digest

__all__ = ["Basis", "basis_file", "read_basis", "write_basis"]

_FIELDS = ("axes", "explained", "variance", "images", "patches", "digest")


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
    file = basis_file(url, array)
    try:
        data = read_bytes(file)
    except FileNotFoundError:
        return None
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            values = {name: stored[name] for name in _FIELDS}
    except Exception as error:  # a broken zip raises nearly anything
        raise StoreCorruptError(_damaged(file, str(error))) from error
    basis = Basis(
        values["axes"],
        values["explained"],
        values["variance"],
        int(values["images"]),
        int(values["patches"]),
    )
    if _digest(basis) != str(values["digest"]):
        raise StoreCorruptError(_damaged(file, "its content does not match its digest"))
    return basis


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
        digest=np.asarray(_digest(basis)),
    )
    if create_exclusively(basis_file(url, array), buffer.getvalue()):
        return basis
    standing = read_basis(url, array)
    return basis if standing is None else standing


def basis_file(url: str, array: str) -> str:
    """The file of an array's basis."""
    return join(url, "bases", f"{array}.npz")


def _digest(basis: Basis) -> str:
    floats = (basis.axes, basis.explained, basis.variance)
    counts = f"{basis.images} {basis.patches}".encode()
    return digest(*(np.ascontiguousarray(values).tobytes() for values in floats), counts)


def _damaged(file: str, why: str) -> str:
    return (
        f"{file}: damaged ({why}). What is stored along these axes cannot be related to anything "
        "new. `patchflow verify --repair` sets it aside with those images; the next run stores "
        "them again."
    )
