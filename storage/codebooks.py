"""Codebooks: a few named arrays that later runs use again, as one zarr group."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from storage.arrays import little_bytes
from storage.errors import StorageError
from storage.files import exists, join, zarr_store
from storage.sealed import digest


def write_codebook(
    url: str, arrays: Mapping[str, NDArray[Any]], attributes: Mapping[str, Any]
) -> str:
    """Write ``arrays`` (each whole, one chunk) and JSON ``attributes`` to the group `url`.

    Attributes are written last: a codebook without them was cut off, and is refused. They hold a
    digest of the arrays, as a chunk that is lost would be read as zeros.
    """
    group = zarr.open_group(zarr_store(url), mode="w", zarr_format=3)
    for name, values in arrays.items():
        group.create_array(name, data=values, chunks=tuple(max(1, n) for n in values.shape))
    group.attrs.update({**attributes, "arrays": sorted(arrays), "digest": _digest(arrays)})
    return url


def read_codebook(url: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Arrays by name, and attributes.

    Raises:
        StorageError: no codebook there, or one that was cut off or damaged.
    """
    if not exists(join(url, "zarr.json")):
        raise StorageError(
            f"{url} holds no codebook; expected a folder codebook.zarr that an earlier run wrote"
        )
    try:
        arrays, attributes = _read(url)
    except (KeyError, RuntimeError, ValueError) as error:  # of JSON, of zarr and of its codecs
        raise _damaged(url, f"{type(error).__name__}: {error}") from error
    if attributes.pop("digest", None) not in (None, _digest(arrays)):
        raise _damaged(url, "its arrays are not those that were written")
    return arrays, attributes


def _read(url: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    group = zarr.open_group(zarr_store(url, read_only=True), mode="r")
    attributes = dict(group.attrs)
    names = attributes.pop("arrays", None)
    if not isinstance(names, list):
        raise StorageError(f"{url} is incomplete: its run was cut off. Run it again")
    return {str(name): np.asarray(group[str(name)][...]) for name in names}, attributes


def _damaged(url: str, found: str) -> StorageError:
    return StorageError(f"{url} is damaged ({found}). Copy it again, or make it again by a new run")


def _digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    parts: list[bytes | memoryview] = []
    for name, values in sorted(arrays.items()):
        parts += [f"{name} {values.dtype} {values.shape}".encode(), little_bytes(values)]
    return digest(*parts)
