"""Writing a new generation of the index, at the same price an image whatever their number."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from gzip import compress
from itertools import accumulate, chain, islice, pairwise
from typing import Any

from storage.files import create_exclusively, write_bytes
from storage.heap import collection_paused
from storage.index import StoreIndex
from storage.layout import FORMAT, encode_arrays, new_attempt
from storage.sealed import encode_columns, seal, seal_text
from storage.snapshot import (
    ImageRow,
    MarkRow,
    PartitionRow,
    Snapshot,
    bucket_file,
    bucket_of,
    generations,
    root_file,
)

__all__ = ["write_snapshot"]

_BUCKET_RECORDS = 8192
_THREADS = 8
# Records that are dealt out to the buckets at a time: few enough to stay in the caches, so that
# each is fetched from memory once, in the order in which it lies there.
_DEALT = 8192
_CUTTABLE = json.JSONEncoder(separators=("\0", ":"), ensure_ascii=False, allow_nan=False)
Columns = Sequence[Sequence[Any]]
# The pieces of each column's list, by the column's name.
Pieces = dict[str, list[bytes]]


@collection_paused()
def write_snapshot(url: str, index: StoreIndex) -> Snapshot | None:
    """Write a new generation; None where another writer was first with its number."""
    numbers = generations(url)
    generation = numbers[-1] + 1 if numbers else 1
    attempt = new_attempt()
    count = _bucket_count(len(index.images) + len(index.marks))
    with ThreadPoolExecutor(_THREADS) as pool:
        written = [
            pool.submit(write_bytes, bucket_file(url, generation, attempt, number), packed)
            for number, packed in enumerate(_buckets(index, count))
        ]
        for future in written:
            future.result()
    kinds = sorted({info.arrays for info in index.partitions.values()}, key=repr)
    rows = [
        PartitionRow(info.id, info.attempt, info.grid, kinds.index(info.arrays), info.count)
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
            "partitions": encode_columns(PartitionRow, rows),
        }
    )
    if not create_exclusively(root_file(url, generation), data):
        return None
    return Snapshot(
        generation, attempt, count, len(index.images), index.covered, dict(index.partitions)
    )


def _bucket_count(records: int) -> int:
    """A power of two that leaves about 8,192 records in each."""
    return 1 << max(0, (records - 1) // _BUCKET_RECORDS).bit_length()


def _buckets(index: StoreIndex, count: int) -> Iterator[bytes]:
    """Each bucket's bytes, in order."""
    order = {key: number for number, key in enumerate(index.partitions)}
    # By name, neighbours are alike: a quarter less bytes after compression.
    partitions = sorted(index.members().values(), key=lambda members: members[0].name)
    images = _deal(
        chain.from_iterable(partitions), ImageRow, lambda columns: _image_row(columns, order), count
    )
    marks = _deal(index.marks.values(), MarkRow, _mark_row, count)
    for columns, marked in zip(images, marks, strict=True):
        body = b'{"images":%s,"marks":%s}' % (_join(columns), _join(marked))
        yield compress(seal_text(body), compresslevel=1, mtime=0)


def _deal(
    entries: Iterable[Any], row: type[Any], columns_of: Callable[[Columns], Columns], count: int
) -> list[Pieces]:
    """For each bucket the columns of its records, as pieces of JSON lists.

    Args:
        entries: of names that differ.
        row: what is written of each.
        columns_of: the columns of some rows, from those of their entries.
        count: of buckets.
    """
    buckets: list[Pieces] = [{name: [] for name in row._fields} for _ in range(count)]
    source = iter(entries)
    while dealt := list(islice(source, _DEALT)):
        groups: dict[int, list[Any]] = {}
        for entry in dealt:
            groups.setdefault(bucket_of(entry.name, count), []).append(entry)
        ends = list(accumulate(map(len, groups.values()), initial=0))
        by_bucket = chain.from_iterable(groups.values())
        columns = columns_of(tuple(zip(*by_bucket, strict=True)))
        for name, column in zip(row._fields, columns, strict=True):
            nested = [column[start:end] for start, end in pairwise(ends)]
            # No JSON string holds a control character, so that it can be cut at them.
            texts = _CUTTABLE.encode(nested)[2:-2].split("]\0[")
            for number, text in zip(groups, texts, strict=True):
                buckets[number][name].append(text.replace("\0", ",").encode())
    return buckets


def _join(pieces: Pieces) -> bytes:
    """What ``encode_columns`` of all records is as JSON."""
    fields = (b'"%s":[%s]' % (name.encode(), b",".join(piece)) for name, piece in pieces.items())
    return b"{%s}" % b",".join(fields)


def _image_row(columns: Columns, order: dict[str, int]) -> Columns:
    *source, width, height, _, partition, position, key, heads = columns
    at = [order[name] for name in partition]
    # Rivals that lost are covered from here on, so only the head that won is kept.
    first = ["" if head[0] == own else head[0] for head, own in zip(heads, partition, strict=True)]
    return (*source, width, height, at, position, key, first)


def _mark_row(columns: Columns) -> Columns:
    *same, heads = columns
    return (*same, [head[0] for head in heads])
