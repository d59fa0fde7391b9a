"""Checks of a benchmark's official directory layout, before anything runs."""

from collections.abc import Iterable, Sequence

from storage.files import exists, list_folder

_SHOWN = 5


class LayoutError(ValueError):
    """A benchmark folder that is not as its authors publish it; names what is missing."""


def require(root: str, files: Iterable[str], expected: str) -> None:
    """Raise LayoutError unless all of `files` (URLs) exist. expected: the layout, in words.

    A request a folder, not a file: of COCO20k's images each would take a bucket a quarter of an
    hour.
    """
    folders: dict[str, list[str]] = {}
    for file in files:
        folders.setdefault(file.rpartition("/")[0], []).append(file)
    missing = []
    for folder, wanted in folders.items():
        there = set(list_folder(folder)) if len(wanted) > 1 else set()
        # One that is not listed may be hidden.
        missing += [f for f in wanted if f.rpartition("/")[2] not in there and not exists(f)]
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise LayoutError(
            f"{root}: missing {', '.join(missing[:_SHOWN])}{more}. Expected {expected}"
        )


def choose(known: Sequence[str], wanted: Sequence[str], what: str) -> list[str]:
    """`wanted` of the `known` categories or sequences, all of them if none is named."""
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise LayoutError(f"no {what} {', '.join(unknown)}; there are: {', '.join(known)}")
    return [name for name in known if not wanted or name in wanted]
