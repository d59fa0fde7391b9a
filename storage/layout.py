"""The format of a store on disk: its paths and its JSON files.

::

    STORE/
      store.json                      what every image in here was made with (`store_info.py`)
      partitions/<id>/<attempt>/      one zarr v3 group: images of one patch grid
      commits/<id>.json               written last; what has no commit does not exist
      failures/<id>.json              why images could not be stored, for people to read
      index/<generation>.json         what `compact` found, so that few files need reading
      index/<generation>-<attempt>/   its buckets of image records
      bases/<array>.npz               the principal axes that an array's channels lie along
      listings/<digest>.json          what a tar shard or a video of the source holds
"""

import math
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

import numpy as np

from storage.errors import StoreCorruptError
from storage.sealed import (
    decode_columns,
    decode_object,
    encode_columns,
    seal,
    typed,
    unseal,
)

__all__ = [
    "FORMAT",
    "ArraySpec",
    "Commit",
    "ImageRecord",
    "Mark",
    "State",
    "attempt_time",
    "check_format",
    "decode_arrays",
    "decode_grid",
    "encode_arrays",
    "new_attempt",
]

FORMAT = 1

State = Literal["stored", "failed", "gone", "dropped"]


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """One array of a partition; the first axis, ``image``, is implied.

    Attributes:
        name: e.g. ``descriptors``.
        axes: names of the other axes, e.g. ``("row", "col", "channel")``.
        shape: their lengths, e.g. ``(56, 56, 384)``.
        dtype: numpy's name, e.g. ``float16``.
    """

    name: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str

    @property
    def nbytes(self) -> int:
        """Bytes of one image."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


class ImageRecord(NamedTuple):
    """One stored image of a commit, in the order of its rows.

    Attributes:
        name, url, bytes, version: as in ``ImageRef``, when it was read.
        width, height: pixels of the original image.
        digest: blake2b-128 over the image's bytes in all arrays, by ``image_digest``.
        origin: id of the partition that first held these bytes, where they were copied; else "".
        supersedes: ids of the commits whose entry for this name this one replaces.
    """

    name: str
    url: str
    bytes: int
    version: str
    width: int
    height: int
    digest: str
    origin: str
    supersedes: tuple[str, ...]


class Mark(NamedTuple):
    """One image of which a commit says something else than "stored".

    Attributes:
        name, url, version: as in ``ImageRef``.
        state: ``failed`` (could not be read), ``gone`` (left the source) or ``dropped``
            (its stored bytes are bad: the next run stores it again).
        reason: one line.
        supersedes: as in ``ImageRecord``.
    """

    name: str
    url: str
    version: str
    state: State
    reason: str
    supersedes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Commit:
    """``commits/<id>.json``.

    Attributes:
        id: of the partition, or of the marks.
        attempt: the folder that counts; empty folder for a commit of marks alone.
        grid: (rows, cols) of patches; (0, 0) without images.
        arrays: what the group holds.
        images: the rows, in order.
        marks: images that were planned here and are not stored.
        replaces: partitions whose living images were copied into this one.
        seconds: from the beginning of the attempt to its commit; 0 for marks alone.
    """

    id: str
    attempt: str
    grid: tuple[int, int]
    arrays: tuple[ArraySpec, ...]
    images: tuple[ImageRecord, ...]
    marks: tuple[Mark, ...]
    replaces: tuple[str, ...] = ()
    seconds: float = 0.0

    def encode(self) -> bytes:
        """The file's bytes."""
        return seal(
            {
                "format": FORMAT,
                "id": self.id,
                "attempt": self.attempt,
                "grid": self.grid,
                "arrays": [_fields(array) for array in self.arrays],
                "images": encode_columns(ImageRecord, self.images),
                "marks": encode_columns(Mark, self.marks),
                "replaces": self.replaces,
                "seconds": self.seconds,
            }
        )

    @classmethod
    def decode(cls, data: bytes, file: str) -> "Commit":
        """Parse a commit strictly; ``file`` is for the errors."""
        names = ("format", "id", "attempt", "grid", "arrays", "images", "marks", "replaces")
        content = unseal(data, file)
        # Optional, since the first stores were written without it.
        seconds = content.pop("seconds", 0.0) if isinstance(content, dict) else 0.0
        check_format(content, file)
        raw = decode_object(content, names, file)
        return cls(
            id=typed(raw, "id", str, file),
            attempt=typed(raw, "attempt", str, file),
            grid=decode_grid(raw["grid"], file),
            arrays=decode_arrays(raw["arrays"], file),
            images=tuple(decode_columns(ImageRecord, raw["images"], f"{file}, images")),
            marks=tuple(decode_columns(Mark, raw["marks"], f"{file}, marks")),
            replaces=tuple(typed(raw, "replaces", list, file)),
            seconds=float(typed({"seconds": seconds}, "seconds", int | float, file)),
        )


def check_format(content: object, file: str) -> None:
    """Refuse a file of a later program, before its other fields are looked at."""
    if isinstance(content, dict) and content.get("format", FORMAT) != FORMAT:
        raise StoreCorruptError(
            f"{file}: format {content['format']!r}, this program reads {FORMAT}. Use the version "
            "of patchflow that wrote the store, or a newer one."
        )


def decode_grid(raw: object, file: str) -> tuple[int, int]:
    """(rows, cols) of a grid."""
    if not isinstance(raw, list) or len(raw) != 2 or not all(type(n) is int for n in raw):
        raise StoreCorruptError(f"{file}: field 'grid' should be [rows, cols], got {raw!r}.")
    return raw[0], raw[1]


def decode_arrays(raw: object, file: str) -> tuple[ArraySpec, ...]:
    """The specs of a partition's arrays."""
    if not isinstance(raw, list):
        raise StoreCorruptError(f"{file}: field 'arrays' should be a list, got {raw!r}.")
    arrays = (decode_object(item, _names(ArraySpec), f"{file}, arrays") for item in raw)
    return tuple(
        ArraySpec(a["name"], tuple(a["axes"]), tuple(a["shape"]), a["dtype"]) for a in arrays
    )


def encode_arrays(arrays: Iterable[ArraySpec]) -> list[dict[str, Any]]:
    """The JSON value of array specs."""
    return [_fields(array) for array in arrays]


def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in _names(type(value))}


def new_attempt() -> str:
    """A name that no other writer has, and that sorts by the time it was made."""
    return f"{time.time_ns():016x}-{uuid.uuid4().hex[:8]}"


def attempt_time(attempt: str) -> float:
    """Seconds since 1970 at which an attempt was named; 0 for a name of another kind."""
    try:
        return int(attempt.partition("-")[0], 16) / 1e9
    except ValueError:
        return 0.0
