"""Codebooks: a few named arrays that later runs use again, as one zarr group."""

from collections.abc import Mapping
from typing import Any

import zarr
from numpy.typing import NDArray

from storage.errors import StorageError
from storage.files import exists, join, zarr_store


def write_codebook(
    url: str, arrays: Mapping[str, NDArray[Any]], attributes: Mapping[str, Any]
) -> str:
    """Write ``arrays`` (each whole, one chunk) and JSON ``attributes`` to the group `url`.

    Attributes are written last: a codebook without them was cut off, and is refused.
    """
    group = zarr.open_group(zarr_store(url), mode="w", zarr_format=3)
    for name, values in arrays.items():
        group.create_array(name, data=values, chunks=tuple(max(1, n) for n in values.shape))
    group.attrs.update({**attributes, "arrays": sorted(arrays)})
    return url


def read_codebook(url: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Arrays by name, and attributes.

    Raises:
        StorageError: no codebook there, or one that was cut off.
    """
    if not exists(join(url, "zarr.json")):
        raise StorageError(
            f"{url} holds no codebook; expected a folder codebook.zarr that an earlier run wrote"
        )
    group = zarr.open_group(zarr_store(url, read_only=True), mode="r")
    attributes = dict(group.attrs)
    names = attributes.pop("arrays", None)
    if not isinstance(names, list):
        raise StorageError(f"{url} is incomplete: its run was cut off. Run it again")
    return {str(name): group[str(name)][...] for name in names}, attributes
