"""What is said of images besides their descriptors: commits of marks, and why images failed."""

from collections.abc import Sequence
from dataclasses import dataclass

from storage.files import create_exclusively, join, read_bytes, write_bytes
from storage.index import StoreIndex
from storage.layout import Commit, Mark, State, new_attempt
from storage.refs import ImageRef
from storage.sealed import digest, encode

__all__ = ["Failure", "failure_mark", "marks_commit", "marks_of", "write_commit", "write_failures"]


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that could not be stored.

    Attributes:
        ref: the image.
        reason: one line for people.
        detail: the end of the traceback.
    """

    ref: ImageRef
    reason: str
    detail: str = ""


def failure_mark(failure: Failure, supersedes: tuple[str, ...]) -> Mark:
    """The line of a commit that says so."""
    ref = failure.ref
    return Mark(ref.name, ref.url, ref.version, "failed", failure.reason, supersedes)


def marks_of(
    known: StoreIndex, names: Sequence[str], state: State, reason: str, url: str
) -> list[Mark]:
    """A mark for each of some names that the store at ``url`` knows.

    Raises:
        KeyError: it does not know one.
    """
    marks: list[Mark] = []
    for name in sorted(names):
        entry = known.get(name)
        if entry is None:
            raise KeyError(f"{url}: holds no image {name!r}.")
        marks.append(Mark(name, entry.url, entry.version, state, reason, entry.heads))
    return marks


def marks_commit(config_digest: str, kind: str, marks: Sequence[Mark]) -> Commit:
    """A commit of marks alone, whose id follows from them."""
    rows = sorted((mark.name, mark.version, mark.supersedes) for mark in marks)
    key = digest(config_digest.encode(), kind.encode(), encode(rows))
    return Commit(key, new_attempt(), (0, 0), (), (), tuple(marks))


def write_commit(url: str, commit: Commit) -> Commit:
    """Write a commit if its id has none; return the one that stands."""
    file = join(url, "commits", f"{commit.id}.json")
    if create_exclusively(file, commit.encode()):
        return commit
    return Commit.decode(read_bytes(file), file)


def write_failures(url: str, key: str, failures: Sequence[Failure]) -> None:
    """Write ``failures/<id>.json`` for people to read; nothing where nothing failed."""
    if not failures:
        return
    rows = [
        {"name": f.ref.name, "url": f.ref.url, "reason": f.reason, "detail": f.detail}
        for f in failures
    ]
    write_bytes(join(url, "failures", f"{key}.json"), encode(rows))
