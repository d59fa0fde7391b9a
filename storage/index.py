"""Which entry counts for every image name, worked out from the commits of a store.

Commits are written by many machines whose clocks nobody trusts, so their order is recorded, not
timed: an entry names the commits whose entries for the same image it supersedes. What nothing
supersedes is a head. Two runs that raced leave two heads; one is chosen by a rule that gives the
same answer everywhere (stored before marked, then the smaller id), and whoever writes the next
version supersedes both.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from storage.heap import collection_paused
from storage.layout import ArraySpec, Commit, State

__all__ = ["EMPTY", "MarkedImage", "PartitionInfo", "StoreIndex", "StoredImage", "resolve"]


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
def resolve(base: StoreIndex, commits: Iterable[Commit]) -> StoreIndex:
    """Apply commits to a state; their order does not matter, and known ones are passed over."""
    fresh = {commit.id: commit for commit in commits if commit.id not in base.covered}
    if not fresh:
        return base
    replaced = frozenset(old for commit in fresh.values() for old in commit.replaces)
    current: dict[str, Entry] = {**base.images, **base.marks}
    rivals: dict[str, list[Entry]] = {}
    superseded: set[tuple[str, str]] = set()
    for commit in fresh.values():
        for entry, supersedes in _entries(commit):
            superseded.update((entry.name, head) for head in supersedes)
            standing = current.setdefault(entry.name, entry)
            if standing is not entry:
                rivals.setdefault(entry.name, [standing]).append(entry)
    for name, candidates in rivals.items():
        heads = [entry for entry in candidates if (name, entry.heads[0]) not in superseded]
        current[name] = _choose(heads or candidates, replaced)
    return _state(base, fresh, current)


def _entries(commit: Commit) -> Iterator[tuple[Entry, tuple[str, ...]]]:
    """Each entry of a commit with the ids that it supersedes."""
    own = (commit.id,)
    for position, record in enumerate(commit.images):
        yield (
            StoredImage(
                record.name,
                record.url,
                record.bytes,
                record.version,
                record.width,
                record.height,
                commit.grid,
                commit.id,
                position,
                record.digest,
                (record.origin,) if record.origin else own,
            ),
            record.supersedes,
        )
    for mark in commit.marks:
        yield (
            MarkedImage(mark.name, mark.url, mark.version, mark.state, mark.reason, own),
            mark.supersedes,
        )


def _choose(heads: Sequence[Entry], replaced: frozenset[str]) -> Entry:
    """The head that counts; it carries the ids of all, for the next version to supersede."""

    def rank(entry: Entry) -> tuple[bool, str, bool, str]:
        if isinstance(entry, MarkedImage):
            return True, entry.heads[0], False, ""
        # Copies made by `compact` have the same head: prefer one whose partition stays.
        return False, entry.heads[0], entry.partition in replaced, entry.partition

    best = min(heads, key=rank)
    others = sorted({head for entry in heads for head in entry.heads} - {best.heads[0]})
    return best._replace(heads=(best.heads[0], *others))


def _state(base: StoreIndex, fresh: dict[str, Commit], current: dict[str, Entry]) -> StoreIndex:
    images = {n: entry for n, entry in current.items() if isinstance(entry, StoredImage)}
    marks = {n: entry for n, entry in current.items() if isinstance(entry, MarkedImage)}
    known = dict(base.partitions)
    for commit in fresh.values():
        if commit.images:
            known[commit.id] = PartitionInfo(
                commit.id, commit.attempt, commit.grid, commit.arrays, len(commit.images)
            )
    living = {image.partition for image in images.values()}
    return StoreIndex(
        images,
        marks,
        {key: known[key] for key in sorted(living)},
        base.covered | fresh.keys(),
    )
