"""Results that need not be made again: a marker beside them says what they were made from.

Prefect's own cache hashes a task's lines but not the ops that it calls, so a cached result
would survive a change in the maths. Here the key is explicit (see `tasks.sets.work_key`), and
it lies in the bucket with the results.
"""

from collections.abc import Iterable
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from storage.errors import StorageError
from storage.files import join, list_folder, remove
from storage.results import read_json, write_json

MARKER = "result.json"
R = TypeVar("R")


def finished(folder: str, key: str, kind: type[R], files: Iterable[str] = ()) -> R | None:
    """The report of an earlier run in `folder` with the same key, or None.

    A marker that does not hold any more is removed, so that a run that dies while it writes over
    older results leaves nothing that looks finished.

    Args:
        files: results that must still be there, relative to `folder`, all in one subfolder.
    """
    marker = join(folder, MARKER)
    try:
        found = read_json(marker)
    except FileNotFoundError:
        return None
    except StorageError:
        found = None
    try:
        if found["key"] == key and _all_there(folder, files):
            return TypeAdapter(kind).validate_python(found["report"])
    except (ValidationError, KeyError, TypeError):
        pass  # another version's: the work is simply done again
    remove(marker)
    return None


def _all_there(folder: str, files: Iterable[str]) -> bool:
    wanted = set(files)
    places = {file.rpartition("/")[0] for file in wanted}
    there = {
        f"{place}/{name}".lstrip("/")
        for place in places
        for name in list_folder(_in(folder, place))
    }
    return wanted <= there


def _in(folder: str, place: str) -> str:
    return join(folder, place) if place else folder


def mark_finished(folder: str, key: str, report: object) -> None:
    """Write the marker; call it after everything else in `folder` is written."""
    dumped = TypeAdapter(type(report)).dump_python(report, mode="json")
    write_json(join(folder, MARKER), {"key": key, "report": dumped})


def remove_others(folder: str, names: Iterable[str]) -> None:
    """Remove the files of `folder` that are not among `names`: those of inputs that are gone."""
    for stale in set(list_folder(folder)) - set(names):
        remove(join(folder, stale))
