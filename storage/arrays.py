"""How the arrays of a partition lie in zarr: chunks of an image, shards of a few."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from storage.files import zarr_store
from storage.layout import ArraySpec
from storage.sealed import digest

__all__ = [
    "ZSTD_LEVEL",
    "Arrays",
    "create_group",
    "fill_value",
    "image_digest",
    "is_compressed",
    "little_bytes",
    "shard_images",
]

ZSTD_LEVEL = 1
_SHARD_BYTES = 64 * 2**20
_SHARD_IMAGES = 32
Arrays = Mapping[str, NDArray[Any]]


def create_group(url: str, specs: Sequence[ArraySpec], count: int) -> zarr.Group:
    """A new group at ``url`` for ``count`` images."""
    group = zarr.create_group(zarr_store(url))
    for spec in specs:
        group.create_array(
            spec.name,
            shape=(count, *spec.shape),
            chunks=(1, *spec.shape),
            # The index lies in front: Azure cannot serve the last bytes of a file by a range.
            shards={
                "shape": (shard_images(spec, count), *spec.shape),
                "index_location": "start",
            },
            dtype=spec.dtype,
            dimension_names=("image", *spec.axes),
            compressors=_codecs(spec.dtype),
            # A shard that is lost reads as this, which no image may hold.
            fill_value=fill_value(spec.dtype),
            config={"write_empty_chunks": True},
        )
    return group


def _codecs(dtype: str) -> tuple[Any, ...]:
    """Checksums find flipped bytes. See `storage.shards`, which encodes."""
    checksum = zarr.codecs.Crc32cCodec()
    if is_compressed(dtype):
        return zarr.codecs.ZstdCodec(level=ZSTD_LEVEL), checksum
    return (checksum,)


def is_compressed(dtype: str) -> bool:
    """Whether chunks go through Zstandard: floats hardly compress; quantised ones by a sixth."""
    return np.dtype(dtype).kind != "f"


def shard_images(spec: ArraySpec, count: int) -> int:
    """Images in one shard of an array: as many as fit in 64 MiB, at most 32 and the partition."""
    return max(1, min(_SHARD_IMAGES, _SHARD_BYTES // max(1, spec.nbytes), count))


def fill_value(dtype: str) -> float | int:
    """What an array holds where nothing was written: NaN, or the least integer."""
    kind = np.dtype(dtype)
    return float("nan") if kind.kind == "f" else int(np.iinfo(kind).min)


def image_digest(arrays: Arrays) -> str:
    """blake2b-128 over one image's bytes, little-endian and row-major, by array name."""
    parts: list[bytes | memoryview] = []
    for name in sorted(arrays):
        parts += [name.encode(), little_bytes(arrays[name])]
    return digest(*parts)


def little_bytes(array: NDArray[Any]) -> memoryview:
    """An array's bytes, little-endian and row-major; a view where it lies so already."""
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return np.ascontiguousarray(little).reshape(-1).view(np.uint8).data
