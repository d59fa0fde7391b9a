"""The shards of one array, made of images as they come, byte for byte as zarr makes them.

zarr wants all images of a shard in one array, cuts it into chunks again and joins what they become,
on its own event loop: half of the writer's processor time went there. Reading stays zarr's.
Source: the specification of zarr's ``sharding_indexed`` codec, version 1.0.
"""

from typing import Any

import google_crc32c
import numpy as np
from numcodecs.zstd import Zstd
from numpy.typing import NDArray

from storage.arrays import ZSTD_LEVEL, is_compressed, little_bytes, shard_images
from storage.files import join, write_parts
from storage.layout import ArraySpec

_NOWHERE = np.iinfo(np.uint64).max


class ShardWriter:
    """Encodes each image at once and holds, encoded, at most one shard of them.

    Args:
        url: of the group that `storage.arrays.create_group` made.
        spec: of the array.
        count: images that the array was made for.
    """

    def __init__(self, url: str, spec: ArraySpec, count: int) -> None:
        self._folder = join(url, spec.name, "c")
        self._inner = ("0",) * len(spec.shape)
        self._images = shard_images(spec, count)
        self._zstd = Zstd(level=ZSTD_LEVEL) if is_compressed(spec.dtype) else None
        self._chunks: list[bytes] = []
        self._written = 0

    def append(self, image: NDArray[Any]) -> None:
        """Add the next image, of the array's shape and dtype; what was passed may change after."""
        raw = little_bytes(image)
        self._chunks.append(raw.tobytes() if self._zstd is None else self._zstd.encode(raw))
        if len(self._chunks) == self._images:
            self.flush()

    def flush(self) -> None:
        """Write the images at hand as a shard, the last one if it is not full."""
        if not self._chunks:
            return
        parts = encode_shard(self._chunks, self._images)
        write_parts(join(self._folder, str(self._written), *self._inner), parts)
        self._written += 1
        self._chunks = []


def encode_shard(chunks: list[bytes], places: int) -> list[bytes]:
    """A shard's index, then its chunks and their checksums, as parts of one file.

    Args:
        chunks: encoded but for the checksum, of the first of the shard's places.
        places: chunks of a full shard.
    """
    index = np.full((places, 2), _NOWHERE, dtype="<u8")
    sizes = np.array([len(chunk) + 4 for chunk in chunks], dtype=np.uint64)
    index[: len(chunks), 0] = index.nbytes + 4 + np.cumsum(sizes) - sizes
    index[: len(chunks), 1] = sizes
    parts = [head := index.tobytes(), _checksum(head)]
    for chunk in chunks:
        parts += chunk, _checksum(chunk)
    return parts


def _checksum(data: bytes) -> bytes:
    return int(google_crc32c.value(data)).to_bytes(4, "little")
