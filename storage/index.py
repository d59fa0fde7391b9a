"""Which entry counts for every image name, worked out from the commits of a store.

Commits are written by many machines whose clocks nobody trusts, so their order is recorded, not
timed: an entry names the commits whose entries for the same image it supersedes. What nothing
supersedes is a head. Two runs that raced leave two heads; one is chosen by a rule that gives the
same answer everywhere (stored before marked, then the smaller id), and whoever writes the next
version supersedes both.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import NamedTuple, TypeVar

from storage.heap import collection_paused
from storage.layout import ArraySpec, Commit, ImageRecord, Mark, State

__all__ = ["EMPTY", "Keep", "MarkedImage", "PartitionInfo", "StoreIndex", "StoredImage", "resolve"]


class StoredImage(NamedTuple):
    """Where the descriptors of one image lie.

    Attributes:
        name, url, bytes, version: of the source when it was read.
        width, height: pixels of the original image.
        grid: (rows, cols) of patches.
        partition, position: the partition and its row.
        digest: over the stored bytes.
        heads: ids that the next version of this name supersedes; the first is this entry's.
    """

    name: str
    url: str
    bytes: int
    version: str
    width: int
    height: int
    grid: tuple[int, int]
    partition: str
    position: int
    digest: str
    heads: tuple[str, ...]


class MarkedImage(NamedTuple):
    """A name of which the store knows something, and holds no descriptors."""

    name: str
    url: str
    version: str
    state: State
    reason: str
    heads: tuple[str, ...]


Entry = StoredImage | MarkedImage
AnyEntry = TypeVar("AnyEntry", StoredImage, MarkedImage)
Keep = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class PartitionInfo:
    """One committed partition.

    Attributes:
        id, attempt: its folder.
        grid: (rows, cols) of patches.
        arrays: what it holds.
        count: rows in it, living or not.
    """

    id: str
    attempt: str
    grid: tuple[int, int]
    arrays: tuple[ArraySpec, ...]
    count: int


@dataclass(frozen=True, slots=True)
class StoreIndex:
    """The state of a store at one moment.

    Attributes:
        images: stored images by name.
        marks: failed, gone and dropped ones by name.
        partitions: by id, those with at least one living image.
        covered: ids of all commits that this state accounts for.
    """

    images: dict[str, StoredImage] = field(default_factory=dict)
    marks: dict[str, MarkedImage] = field(default_factory=dict)
    partitions: dict[str, PartitionInfo] = field(default_factory=dict)
    covered: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.images)

    def __contains__(self, name: object) -> bool:
        return name in self.images

    def __iter__(self) -> Iterator[str]:
        """Names in order."""
        return iter(sorted(self.images))

    def __getitem__(self, name: str) -> StoredImage:
        return self.images[name]

    def get(self, name: str) -> Entry | None:
        """The entry of a name, stored or marked."""
        return self.images.get(name) or self.marks.get(name)

    @property
    def failures(self) -> tuple[MarkedImage, ...]:
        """Images that could not be read, by name."""
        failed = (mark for mark in self.marks.values() if mark.state == "failed")
        return tuple(sorted(failed, key=lambda mark: mark.name))

    def members(self) -> dict[str, list[StoredImage]]:
        """Living images of every partition, in the order of their rows."""
        by_partition: dict[str, list[StoredImage]] = {key: [] for key in self.partitions}
        for image in self.images.values():
            by_partition[image.partition].append(image)
        for images in by_partition.values():
            images.sort(key=lambda image: image.position)
        return by_partition


EMPTY = StoreIndex()


@collection_paused()
def resolve(base: StoreIndex, commits: Iterable[Commit], keep: Keep | None = None) -> StoreIndex:
    """Apply commits to a state; their order does not matter, and known ones are passed over.

    Each commit is looked at once and dropped while it is still in the processor's caches.

    Args:
        base: what was known before.
        commits: on top of it.
        keep: which names are wanted, where the entries of others would only take memory.
    """
    fresh = (commit for commit in commits if commit.id not in base.covered)
    first = next(fresh, None)
    if first is None:
        return base
    change = _Change(base, keep)
    for commit in chain((first,), fresh):
        if commit.id not in change.seen:
            change.add(commit)
    return change.settle()


class _Change:
    """Commits taken up one by one on top of a state."""

    def __init__(self, base: StoreIndex, keep: Keep | None) -> None:
        self.seen: set[str] = set()
        self._base = base
        self._keep = keep
        self._images = dict(base.images)
        self._marks = dict(base.marks)
        self._partitions = dict(base.partitions)
        self._rivals: dict[str, list[Entry]] = {}
        self._superseded: set[tuple[str, str]] = set()
        self._replaced: set[str] = set()

    def add(self, commit: Commit) -> None:
        """Take up the entries of one commit; those of a name that is known become rivals."""
        self.seen.add(commit.id)
        self._replaced.update(commit.replaces)
        if commit.images:
            self._partitions[commit.id] = PartitionInfo(
                commit.id, commit.attempt, commit.grid, commit.arrays, len(commit.images)
            )
        images, marks = self._images, self._marks
        for image in self._wanted(_stored(commit)):
            if images.setdefault(image.name, image) is not image:
                self._rivals.setdefault(image.name, []).append(image)
        for mark in self._wanted(_marked(commit)):
            if marks.setdefault(mark.name, mark) is not mark:
                self._rivals.setdefault(mark.name, []).append(mark)
        for record in chain[ImageRecord | Mark](commit.images, commit.marks):
            for head in record.supersedes:
                self._superseded.add((record.name, head))

    def _wanted(self, entries: Iterable[AnyEntry]) -> Iterable[AnyEntry]:
        if self._keep is None:
            return entries
        keep = self._keep
        return (entry for entry in entries if keep(entry.name))

    def settle(self) -> StoreIndex:
        """The state in which every name has the one entry that counts."""
        displaced: set[str] = set()
        for name in sorted(self._rivals.keys() | (self._images.keys() & self._marks.keys())):
            standing = (self._images.pop(name, None), self._marks.pop(name, None))
            known = [entry for entry in standing if entry is not None]
            candidates = [*known, *self._rivals.get(name, ())]
            displaced.update(c.partition for c in candidates if isinstance(c, StoredImage))
            heads = [
                entry for entry in candidates if (name, entry.heads[0]) not in self._superseded
            ]
            chosen = _choose(heads or candidates, self._replaced)
            if isinstance(chosen, StoredImage):
                self._images[name] = chosen
            else:
                self._marks[name] = chosen
        if displaced:
            living = {image.partition for image in self._images.values()}
            for key in displaced - living:
                del self._partitions[key]
        partitions = {key: self._partitions[key] for key in sorted(self._partitions)}
        return StoreIndex(self._images, self._marks, partitions, self._base.covered | self.seen)


def _stored(commit: Commit) -> Iterable[StoredImage]:
    """The images of a commit as entries, made by the column and so without a step of Python."""
    if not commit.images:
        return ()
    name, url, size, version, width, height, key, origin, _ = zip(*commit.images, strict=True)
    own = (commit.id,)
    heads = ((first,) if first else own for first in origin)
    rows = len(name)
    where = (repeat(commit.grid, rows), repeat(commit.id, rows), range(rows))
    columns = (name, url, size, version, width, height, *where, key, heads)
    return map(StoredImage._make, zip(*columns, strict=True))


def _marked(commit: Commit) -> Iterable[MarkedImage]:
    own = (commit.id,)
    return (MarkedImage(*mark[:5], own) for mark in commit.marks)


def _choose(heads: Sequence[Entry], replaced: Set[str]) -> Entry:
    """The head that counts; it carries the ids of all, for the next version to supersede."""

    def rank(entry: Entry) -> tuple[bool, str, bool, str]:
        if isinstance(entry, MarkedImage):
            return True, entry.heads[0], False, ""
        # Copies made by `compact` have the same head: prefer one whose partition stays.
        return False, entry.heads[0], entry.partition in replaced, entry.partition

    best = min(heads, key=rank)
    others = sorted({head for entry in heads for head in entry.heads} - {best.heads[0]})
    return best._replace(heads=(best.heads[0], *others))
