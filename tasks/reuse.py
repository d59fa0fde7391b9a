"""Results that need not be made again: a marker beside them says what they were made from.

Prefect's own cache hashes a task's lines but not the ops that it calls, so a cached result
would survive a change in the maths. Here the key is explicit (see `tasks.sets.work_key`), and
it lies in the bucket with the results.
"""

from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from storage.errors import StorageError
from storage.files import join
from storage.results import read_json, write_json

MARKER = "result.json"
R = TypeVar("R")


def finished(folder: str, key: str, kind: type[R]) -> R | None:
    """The report of an earlier run in `folder` with the same key, or None."""
    try:
        found = read_json(join(folder, MARKER))
        if found["key"] != key:
            return None
        return TypeAdapter(kind).validate_python(found["report"])
    except (FileNotFoundError, StorageError, ValidationError, KeyError, TypeError):
        return None  # no marker, or another version's: the work is simply done again


def mark_finished(folder: str, key: str, report: object) -> None:
    """Write the marker; call it after everything else in `folder` is written."""
    dumped = TypeAdapter(type(report)).dump_python(report, mode="json")
    write_json(join(folder, MARKER), {"key": key, "report": dumped})
