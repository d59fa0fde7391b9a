"""The index that ``compact`` writes, so that a large store opens by reading few files.

It is a cache: everything in it follows from the commits, which stay. Records are spread over
buckets by a hash of the name, so one image is found by reading the root and one bucket of about
4,096 records, and thousands of commits need not be read at all.
"""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

from storage.errors import StoreCorruptError
from storage.files import create_exclusively, join, list_folder, read_bytes, write_bytes
from storage.heap import collection_paused
from storage.index import MarkedImage, PartitionInfo, StoredImage, StoreIndex
from storage.layout import (
    FORMAT,
    check_format,
    decode_arrays,
    decode_columns,
    decode_grid,
    decode_object,
    encode_arrays,
    encode_columns,
    new_attempt,
    seal,
    unseal,
)

__all__ = ["Snapshot", "generations", "load_bucket", "load_newest", "load_whole", "write_snapshot"]

_BUCKET_RECORDS = 4096
_THREADS = 8
_FIELDS = ("format", "attempt", "buckets", "images", "covered", "kinds", "partitions")


class _PartitionRow(NamedTuple):
    id: str
    attempt: str
    grid: tuple[int, int]
    kind: int
    rows: int


class _ImageRow(NamedTuple):
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


class _MarkRow(NamedTuple):
    name: str
    url: str
    version: str
    state: str
    reason: str
    head: str


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


def load_root(url: str, generation: int) -> Snapshot:
    """The root of one generation."""
    file = root_file(url, generation)
    raw = decode_object(unseal(read_bytes(file), file), _FIELDS, file)
    check_format(raw["format"], file)
    kinds = [decode_arrays(kind, file) for kind in raw["kinds"]]
    rows = decode_columns(_PartitionRow, raw["partitions"], f"{file}, partitions")
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
    return _state(root, [_read_bucket(url, root, _bucket_of(name, root.buckets))])


def load_whole(url: str, root: Snapshot) -> StoreIndex:
    """The whole state at a generation."""
    with ThreadPoolExecutor(_THREADS) as pool:
        parts = pool.map(lambda number: _read_bucket(url, root, number), range(root.buckets))
        return _state(root, parts)


@collection_paused()
def write_snapshot(url: str, index: StoreIndex) -> Snapshot | None:
    """Write a new generation; None where another writer was first with its number."""
    numbers = generations(url)
    generation = numbers[-1] + 1 if numbers else 1
    attempt = new_attempt()
    folder = bucket_folder(url, generation, attempt)
    count = _bucket_count(len(index.images) + len(index.marks))
    order = {key: number for number, key in enumerate(index.partitions)}
    kinds = sorted({info.arrays for info in index.partitions.values()}, key=repr)
    with ThreadPoolExecutor(_THREADS) as pool:
        list(
            pool.map(
                lambda item: write_bytes(join(folder, f"{item[0]:06d}.json.gz"), item[1]),
                _buckets(index, count, order),
            )
        )
    rows = [
        _PartitionRow(info.id, info.attempt, info.grid, kinds.index(info.arrays), info.count)
        for info in index.partitions.values()
    ]
    data = seal(
        {
            "format": FORMAT,
            "attempt": attempt,
            "buckets": count,
            "images": len(index.images),
            "covered": sorted(index.covered),
            "kinds": [encode_arrays(kind) for kind in kinds],
            "partitions": encode_columns(_PartitionRow, rows),
        }
    )
    if not create_exclusively(root_file(url, generation), data):
        return None
    return Snapshot(
        generation, attempt, count, len(index.images), index.covered, dict(index.partitions)
    )


def _bucket_count(records: int) -> int:
    """A power of two that leaves about 4,096 records in each."""
    return 1 << max(0, (records - 1) // _BUCKET_RECORDS).bit_length()


def _bucket_of(name: str, buckets: int) -> int:
    return zlib.crc32(name.encode("utf-8", "surrogatepass")) & (buckets - 1)


def _buckets(index: StoreIndex, count: int, order: dict[str, int]) -> Iterator[tuple[int, bytes]]:
    """Each bucket's number and bytes."""
    images: list[list[StoredImage]] = [[] for _ in range(count)]
    for image in index.images.values():
        images[_bucket_of(image.name, count)].append(image)
    marks: list[list[MarkedImage]] = [[] for _ in range(count)]
    for mark in index.marks.values():
        marks[_bucket_of(mark.name, count)].append(mark)
    for number in range(count):
        image_rows = [
            _ImageRow(
                *(image.name, image.url, image.bytes, image.version, image.width, image.height),
                *(order[image.partition], image.position, image.digest),
                "" if image.heads[0] == image.partition else image.heads[0],
            )
            for image in images[number]
        ]
        # Rivals that lost are covered from here on, so only the head that won is kept.
        mark_rows = [_MarkRow(*mark[:5], mark.heads[0]) for mark in marks[number]]
        value = {
            "images": encode_columns(_ImageRow, image_rows),
            "marks": encode_columns(_MarkRow, mark_rows),
        }
        yield number, gzip.compress(seal(value), compresslevel=1, mtime=0)


def _read_bucket(url: str, root: Snapshot, number: int) -> tuple[list[Any], list[Any]]:
    folder = bucket_folder(url, root.generation, root.attempt)
    file = join(folder, f"{number:06d}.json.gz")
    packed = read_bytes(file)
    try:
        data = gzip.decompress(packed)
    except (OSError, EOFError, zlib.error) as error:
        raise StoreCorruptError(
            f"{file}: damaged ({error}). `patchflow verify --repair` removes this index; it is "
            "made again from the commits."
        ) from error
    raw = decode_object(unseal(data, file), ("images", "marks"), file)
    images = decode_columns(_ImageRow, raw["images"], f"{file}, images")
    return images, decode_columns(_MarkRow, raw["marks"], f"{file}, marks")


@collection_paused()
def _state(root: Snapshot, parts: Iterable[tuple[list[Any], list[Any]]]) -> StoreIndex:
    partitions = list(root.partitions.values())
    own = [(info.id,) for info in partitions]
    images: dict[str, StoredImage] = {}
    marks: dict[str, MarkedImage] = {}
    for image_rows, mark_rows in parts:
        for name, url, size, version, width, height, at, position, key, head in image_rows:
            info = partitions[at]
            images[name] = StoredImage(
                *(name, url, size, version, width, height, info.grid, info.id, position, key),
                (head,) if head else own[at],
            )
        for row in mark_rows:
            marks[row.name] = MarkedImage(
                row.name, row.url, row.version, row.state, row.reason, (row.head,)
            )
    return StoreIndex(images, marks, dict(root.partitions), root.covered)
