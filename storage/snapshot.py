"""The index that ``compact`` writes, so that a large store opens by reading few files.

It is a cache: everything in it follows from the commits, which stay. Records are spread over
buckets by a hash of the name, so one image is found by reading the root and one bucket of about
8,192 records, and thousands of commits need not be read at all.
"""

import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from storage.errors import StoreCorruptError
from storage.files import join, list_folder, read_bytes, read_many
from storage.heap import collection_paused
from storage.index import Keep, MarkedImage, PartitionInfo, StoredImage, StoreIndex
from storage.layout import State, check_format, decode_arrays, decode_grid
from storage.sealed import decode_columns, decode_object, decode_table, unseal

__all__ = [
    "Bucket",
    "ImageRow",
    "MarkRow",
    "PartitionRow",
    "Snapshot",
    "bucket_file",
    "bucket_folder",
    "bucket_of",
    "generations",
    "load_bucket",
    "load_newest",
    "load_whole",
    "read_buckets",
    "root_file",
]

_BATCH = 16
_FIELDS = ("format", "attempt", "buckets", "images", "covered", "kinds", "partitions")


class PartitionRow(NamedTuple):
    """A ``PartitionInfo`` with its arrays by number."""

    id: str
    attempt: str
    grid: tuple[int, int]
    kind: int
    rows: int


class ImageRow(NamedTuple):
    """A ``StoredImage`` with its partition by number, and "" for a head of that same name."""

    name: str
    url: str
    bytes: int
    version: str
    width: int
    height: int
    partition: int
    position: int
    digest: str
    head: str


class MarkRow(NamedTuple):
    """A ``MarkedImage`` with the head that won."""

    name: str
    url: str
    version: str
    state: State
    reason: str
    head: str


class Bucket(NamedTuple):
    """The records of one bucket.

    Attributes:
        images: one list for each field of ``ImageRow``.
        marks: rows.
    """

    images: list[list[Any]]
    marks: list[MarkRow]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The root of one generation.

    Attributes:
        generation: counts up; the highest one counts.
        attempt: part of its folder's name.
        buckets: number of buckets.
        images: number of stored images.
        covered: ids of the commits that it accounts for.
        partitions: those with living images, by id; buckets refer to them by number.
    """

    generation: int
    attempt: str
    buckets: int
    images: int
    covered: frozenset[str]
    partitions: dict[str, PartitionInfo]


def generations(url: str) -> list[int]:
    """Numbers of all generations that have a root, ascending."""
    names = (name.removesuffix(".json") for name in list_folder(join(url, "index")))
    return sorted(int(name) for name in names if name.isdigit())


def load_newest(url: str) -> Snapshot | None:
    """The root of the newest generation, if there is any."""
    numbers = generations(url)
    return load_root(url, numbers[-1]) if numbers else None


@collection_paused()
def load_root(url: str, generation: int) -> Snapshot:
    """The root of one generation."""
    file = root_file(url, generation)
    content = unseal(read_bytes(file), file)
    check_format(content, file)
    raw = decode_object(content, _FIELDS, file)
    kinds = [decode_arrays(kind, file) for kind in raw["kinds"]]
    rows = decode_columns(PartitionRow, raw["partitions"], f"{file}, partitions")
    partitions = {
        row.id: PartitionInfo(
            row.id, row.attempt, decode_grid(list(row.grid), file), kinds[row.kind], row.rows
        )
        for row in rows
    }
    covered = frozenset(raw["covered"])
    return Snapshot(generation, raw["attempt"], raw["buckets"], raw["images"], covered, partitions)


def root_file(url: str, generation: int) -> str:
    """The file that makes a generation exist."""
    return join(url, "index", f"{generation:08d}.json")


def bucket_folder(url: str, generation: int, attempt: str) -> str:
    """The folder of its buckets, written before the root."""
    return join(url, "index", f"{generation:08d}-{attempt}")


def load_bucket(url: str, root: Snapshot, name: str) -> StoreIndex:
    """The state as far as it concerns one name: its bucket's records."""
    return _state(root, _read(url, root, [bucket_of(name, root.buckets)]), None)


def load_whole(url: str, root: Snapshot, keep: Keep | None = None) -> StoreIndex:
    """The state at a generation, of all names or of those to be kept."""
    return _state(root, read_buckets(url, root), keep)


def read_buckets(url: str, root: Snapshot) -> Iterator[Bucket]:
    """The records of a generation, bucket by bucket, many requests at a time.

    Raises:
        StoreCorruptError: one is damaged.
    """
    return _read(url, root, range(root.buckets))


def bucket_of(name: str, buckets: int) -> int:
    """The bucket that a name's record lies in; ``buckets`` is a power of two."""
    return zlib.crc32(name.encode("utf-8", "surrogatepass")) & (buckets - 1)


def bucket_file(url: str, generation: int, attempt: str, number: int) -> str:
    """The file of one bucket."""
    return join(bucket_folder(url, generation, attempt), f"{number:06d}.json.gz")


def _read(url: str, root: Snapshot, numbers: Sequence[int]) -> Iterator[Bucket]:
    files = [bucket_file(url, root.generation, root.attempt, number) for number in numbers]
    for start in range(0, len(files), _BATCH):
        batch = files[start : start + _BATCH]
        for file, packed in zip(batch, read_many(batch), strict=True):
            yield _decode(packed, file)


def _decode(packed: bytes, file: str) -> Bucket:
    try:
        data = gzip.decompress(packed)
    except (OSError, EOFError, zlib.error) as error:
        raise StoreCorruptError(
            f"{file}: damaged ({error}). `patchflow verify --repair` removes this index; it is "
            "made again from the commits."
        ) from error
    raw = decode_object(unseal(data, file), ("images", "marks"), file)
    return Bucket(
        decode_table(ImageRow, raw["images"], f"{file}, images"),
        decode_columns(MarkRow, raw["marks"], f"{file}, marks"),
    )


@collection_paused()
def _state(root: Snapshot, buckets: Iterable[Bucket], keep: Keep | None) -> StoreIndex:
    partitions = list(root.partitions.values())
    own = [(info.id,) for info in partitions]
    images: dict[str, StoredImage] = {}
    marks: dict[str, MarkedImage] = {}
    for bucket in buckets:
        name, url, size, version, width, height, at, position, key, head = bucket.images
        where = [partitions[number] for number in at]
        heads = [(first,) if first else own[number] for first, number in zip(head, at, strict=True)]
        grids, ids = [info.grid for info in where], [info.id for info in where]
        columns = (name, url, size, version, width, height, grids, ids, position, key, heads)
        entries = map(StoredImage._make, zip(*columns, strict=True))
        wanted = entries if keep is None else (entry for entry in entries if keep(entry.name))
        images.update((entry.name, entry) for entry in wanted)
        for row in bucket.marks:
            if keep is None or keep(row.name):
                marks[row.name] = MarkedImage(*row[:-1], (row.head,))
    return StoreIndex(images, marks, dict(root.partitions), root.covered)
