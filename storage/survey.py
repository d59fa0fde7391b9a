"""What a source changes in a store, found without the store's records in memory.

Most images of most runs have not changed. To find those, names and versions are compared as two
64-bit numbers an image, sorted: a table of a million names is too large for a processor's caches,
so that each look at one costs more than the reading of the name. Only what is left is compared
by its records. Two of a million names share a hash by a chance of 1 in 37 million; then
the image must also be of the other's size and version to be taken for it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, compress, islice
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from storage.commits import StateFiles, while_files_vanish
from storage.heap import collection_paused
from storage.index import EMPTY, StoreIndex
from storage.planning import Changes, compare
from storage.refs import ImageRef

__all__ = ["Listing", "Survey", "survey"]

# Listed images that are looked at while they are in the caches.
_LISTED = 256
Hashes = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Listing(Protocol):
    """Images that can be counted, and gone through more than once."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[ImageRef]: ...


@dataclass(frozen=True, slots=True)
class Survey:
    """A listing compared with a store.

    Attributes:
        changes: what differs.
        stored: number of images in the store.
        index: the store's state, as far as it concerns names that differ, and all marks.
    """

    changes: Changes
    stored: int
    index: StoreIndex


class _Known(NamedTuple):
    """What a store holds, as hashes.

    Attributes:
        names: (n,) ascending, of names that have one entry, a stored one.
        contents: (n,) of their size and version.
        others: (m,) ascending, of names that are marked or have several entries.
    """

    names: Hashes
    contents: Hashes
    others: Hashes


@collection_paused()
def survey(url: str, listing: Listing, *, retry_failures: bool = False) -> Survey:
    """Compare a source with the store at ``url``, by name, size and version.

    Args:
        url: of the store.
        listing: all images of the source; names are unique.
        retry_failures: try images again that failed in the same version.
    """
    return while_files_vanish(lambda: _survey(StateFiles(url), listing, retry_failures))


def _survey(files: StateFiles, listing: Listing, retry_failures: bool) -> Survey:
    known = _read_known(files)
    rest: Listing = listing
    unseen, stored = known.names, 0
    if len(listing) and known.names.size:
        same, seen = _stored_as_they_are(known, listing)
        rest = [] if same.all() else list(compress(listing, ~same))
        unseen, stored = known.names[~seen], int(seen.sum())
    wanted = frozenset(chain(unseen.tolist(), known.others.tolist()))
    if wanted:
        wanted = wanted.union(hash(ref.name) for ref in rest)
    index = files.load(lambda name: hash(name) in wanted) if wanted else EMPTY
    changes = compare(rest, index, retry_failures=retry_failures)
    unchanged = changes.unchanged + len(listing) - len(rest)
    return Survey(replace(changes, unchanged=unchanged), stored + len(index), index)


def _read_known(files: StateFiles) -> _Known:
    names: list[Hashes] = []
    contents: list[Hashes] = []
    marked: list[Hashes] = []
    for images, marks in _columns(files):
        name, size, version = images
        names.append(_hashes(name))
        contents.append(_hashes(list(zip(size, version, strict=True))))
        marked.append(_hashes(marks))
    if not names:
        nothing = np.empty(0, np.int64)
        return _Known(nothing, nothing, nothing)
    name = np.concatenate(names)
    order = np.argsort(name)
    name = name[order]
    content = np.concatenate(contents)[order]
    repeated = name[1:][name[1:] == name[:-1]]
    others = np.unique(np.concatenate([repeated, *marked]))
    single = ~np.isin(name, others) if others.size else slice(None)
    return _Known(name[single], content[single], others)


def _columns(files: StateFiles) -> Iterator[tuple[tuple[Any, Any, Any], Sequence[str]]]:
    """(names, sizes, versions) of stored images and the names of marked ones, file by file."""
    for bucket in files.buckets():
        name, _, size, version, *_ = bucket.images
        yield (name, size, version), [mark.name for mark in bucket.marks]
    for commit in files.commits():
        columns: Sequence[Any] = [()] * 4
        if commit.images:
            columns = tuple(zip(*commit.images, strict=True))
        name, _, size, version, *_ = columns
        yield (name, size, version), [mark.name for mark in commit.marks]


def _stored_as_they_are(known: _Known, listing: Listing) -> tuple[Mask, Mask]:
    """Which of the listed images, in order, and which known names are stored as they are."""
    names: list[Hashes] = []
    contents: list[Hashes] = []
    source = iter(listing)
    while block := list(islice(source, _LISTED)):
        names.append(_hashes([ref.name for ref in block]))
        contents.append(_hashes([(ref.bytes, ref.version) for ref in block]))
    name = np.concatenate(names)
    # Sorted, they are found by walking along the table rather than by jumping about in it.
    order = np.argsort(name)
    name, content = name[order], np.concatenate(contents)[order]
    at = np.minimum(np.searchsorted(known.names, name), len(known.names) - 1)
    same = (known.names[at] == name) & (known.contents[at] == content)
    listed = np.zeros(len(name), dtype=bool)
    listed[order[same]] = True
    seen = np.zeros(len(known.names), dtype=bool)
    seen[at[same]] = True
    return listed, seen


def _hashes(values: Sequence[Any]) -> Hashes:
    return np.fromiter(map(hash, values), np.int64, len(values))
