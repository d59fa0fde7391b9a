"""Loading the state of a store: the newest index, and the commits that it does not cover."""

from storage.errors import StoreCorruptError
from storage.files import join, list_folder, open_filesystem
from storage.index import EMPTY, StoreIndex, resolve
from storage.layout import Commit

__all__ = ["list_commits", "load_state", "read_commits"]

_BATCH = 256


def load_state(url: str, known: StoreIndex | None = None) -> StoreIndex:
    """The state of a store now; commits that ``known`` covers are not read again."""
    base = EMPTY if known is None else known
    fresh = [key for key in list_commits(url) if key not in base.covered]
    return resolve(base, read_commits(url, fresh))


def list_commits(url: str) -> list[str]:
    """Ids of all commit files."""
    files = list_folder(join(url, "commits"))
    return [name.removesuffix(".json") for name in files if name.endswith(".json")]


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
        for key, path in paths.items():
            file = f"{join(url, 'commits')}/{key}.json"
            commit = Commit.decode(found[path], file)
            if commit.id != key:
                raise StoreCorruptError(f"{file}: field 'id' should be {key!r}, got {commit.id!r}.")
            commits.append(commit)
    return commits
