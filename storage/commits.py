"""Loading the state of a store: the newest index, and the commits that it does not cover."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from storage.errors import StoreCorruptError
from storage.files import join, list_folder, open_filesystem
from storage.heap import collection_paused
from storage.index import EMPTY, Keep, PartitionInfo, StoreIndex, resolve
from storage.layout import Commit
from storage.snapshot import Bucket, load_bucket, load_newest, load_whole, read_buckets

__all__ = [
    "StateFiles",
    "commit_file",
    "list_commits",
    "load_around",
    "load_state",
    "read_commits",
    "recent_rate",
    "while_files_vanish",
]

_BATCH = 256
_TRIES = 3
_RECENT = 16
Value = TypeVar("Value")


class StateFiles:
    """The files that make up the state of a store at one moment: an index and later commits."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._root = load_newest(url)
        covered = frozenset() if self._root is None else self._root.covered
        self._fresh = [key for key in list_commits(url) if key not in covered]

    def buckets(self) -> Iterator[Bucket]:
        """The records of the index."""
        return iter(()) if self._root is None else read_buckets(self._url, self._root)

    def commits(self) -> Iterator[Commit]:
        """The commits that the index does not cover."""
        return read_commits(self._url, self._fresh)

    def load(self, keep: Keep | None = None) -> StoreIndex:
        """The state, of all names or of those to be kept."""
        base = EMPTY if self._root is None else load_whole(self._url, self._root, keep)
        return resolve(base, self.commits(), keep)

    def load_around(self, name: str) -> StoreIndex:
        """The state of one name (and of all partitions), from as few files as possible."""
        base = EMPTY if self._root is None else load_bucket(self._url, self._root, name)
        return resolve(base, self.commits(), name.__eq__)


@collection_paused()
def load_state(url: str, known: StoreIndex | None = None, keep: Keep | None = None) -> StoreIndex:
    """The state of a store now; commits that ``known`` covers are not read again.

    keep: which names are wanted; of others nothing is said, and ``known`` must be None.
    """
    if known is None:
        return while_files_vanish(lambda: StateFiles(url).load(keep))
    return while_files_vanish(lambda: resolve(known, read_commits(url, _unknown(url, known))))


@collection_paused()
def load_around(url: str, name: str) -> StoreIndex:
    """A state that is right about one name (and partitions), from as few files as possible."""
    return while_files_vanish(lambda: StateFiles(url).load_around(name))


def while_files_vanish(load: Callable[[], Value]) -> Value:
    """Look again where `gc` removed a file between the listing and the reading of it."""
    for _ in range(_TRIES - 1):
        try:
            return load()
        except FileNotFoundError:
            continue
    try:
        return load()
    except FileNotFoundError as error:
        raise StoreCorruptError(
            f"a file of the store's index is missing ({error}). `patchflow verify --repair` sets "
            "that index aside; it is made again from the commits."
        ) from error


def _unknown(url: str, known: StoreIndex) -> list[str]:
    return [key for key in list_commits(url) if key not in known.covered]


def recent_rate(url: str, partitions: Iterable[PartitionInfo]) -> float | None:
    """Images a second in one writer, over the newest partitions; None where there are none."""
    newest = sorted(partitions, key=lambda info: info.attempt)[-_RECENT:]
    commits = [c for c in read_commits(url, [info.id for info in newest]) if not c.replaces]
    seconds = sum(commit.seconds for commit in commits)
    return sum(len(commit.images) for commit in commits) / seconds if seconds else None


def list_commits(url: str) -> list[str]:
    """Ids of all commit files."""
    files = list_folder(join(url, "commits"))
    return [name.removesuffix(".json") for name in files if name.endswith(".json")]


def commit_file(url: str, key: str) -> str:
    """The file of a commit."""
    return join(url, "commits", f"{key}.json")


def read_commits(url: str, ids: Sequence[str]) -> Iterator[Commit]:
    """Commits by id, many requests at a time, each made when it is asked for.

    Raises:
        StoreCorruptError: one is cut off, or names another id than its file.
    """
    fs, folder = open_filesystem(join(url, "commits"))
    for start in range(0, len(ids), _BATCH):
        paths = {key: f"{folder}/{key}.json" for key in ids[start : start + _BATCH]}
        found = fs.cat(list(paths.values()))
        for key, path in paths.items():
            yield decode_commit(found.pop(path), key, commit_file(url, key))


def decode_commit(data: bytes, key: str, file: str) -> Commit:
    """A commit that bears the id of its file."""
    commit = Commit.decode(data, file)
    if commit.id != key:
        raise StoreCorruptError(f"{file}: field 'id' should be {key!r}, got {commit.id!r}.")
    return commit
