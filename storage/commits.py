"""Loading the state of a store: the newest index, and the commits that it does not cover."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from storage.errors import StoreCorruptError
from storage.files import join, list_folder, open_filesystem
from storage.heap import collection_paused
from storage.index import EMPTY, PartitionInfo, StoreIndex, resolve
from storage.layout import Commit
from storage.snapshot import load_bucket, load_newest, load_whole

__all__ = [
    "commit_file",
    "list_commits",
    "load_around",
    "load_state",
    "read_commits",
    "recent_rate",
]

_BATCH = 256
_TRIES = 3
_RECENT = 16
Value = TypeVar("Value")


def load_state(url: str, known: StoreIndex | None = None) -> StoreIndex:
    """The state of a store now; commits that ``known`` covers are not read again."""
    return _while_files_vanish(lambda: _load_state(url, known))


def load_around(url: str, name: str) -> StoreIndex:
    """A state that is right about one name (and partitions), from as few files as possible."""
    return _while_files_vanish(lambda: _load_around(url, name))


def _load_state(url: str, known: StoreIndex | None) -> StoreIndex:
    base = known
    if base is None:
        newest = load_newest(url)
        base = EMPTY if newest is None else load_whole(url, newest)
    return resolve(base, _fresh(url, base.covered))


def _load_around(url: str, name: str) -> StoreIndex:
    newest = load_newest(url)
    base = EMPTY if newest is None else load_bucket(url, newest, name)
    # Whatever these commits say of other names is incomplete without their buckets.
    return resolve(base, _fresh(url, base.covered))


def _while_files_vanish(load: Callable[[], Value]) -> Value:
    """Look again where `gc` removed a file between the listing and the reading of it."""
    for _ in range(_TRIES - 1):
        try:
            return load()
        except FileNotFoundError:
            continue
    return load()


def _fresh(url: str, covered: frozenset[str]) -> list[Commit]:
    return read_commits(url, [key for key in list_commits(url) if key not in covered])


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


def read_commits(url: str, ids: list[str]) -> list[Commit]:
    """Commits by id, many requests at a time.

    Raises:
        StoreCorruptError: one is cut off, or names another id than its file.
    """
    fs, folder = open_filesystem(join(url, "commits"))
    commits: list[Commit] = []
    for start in range(0, len(ids), _BATCH):
        paths = {key: f"{folder}/{key}.json" for key in ids[start : start + _BATCH]}
        found = fs.cat(list(paths.values()))
        with collection_paused():
            for key, path in paths.items():
                commits.append(decode_commit(found[path], key, commit_file(url, key)))
    return commits


def decode_commit(data: bytes, key: str, file: str) -> Commit:
    """A commit that bears the id of its file."""
    commit = Commit.decode(data, file)
    if commit.id != key:
        raise StoreCorruptError(f"{file}: field 'id' should be {key!r}, got {commit.id!r}.")
    return commit
