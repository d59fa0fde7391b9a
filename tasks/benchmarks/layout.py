"""Checks of a benchmark's official directory layout, before anything runs."""

from collections.abc import Iterable, Sequence

from storage.files import exists

_SHOWN = 5


class LayoutError(ValueError):
    """A benchmark folder that is not as its authors publish it; names what is missing."""


def require(root: str, files: Iterable[str], expected: str) -> None:
    """Raise LayoutError unless all of `files` (URLs) exist. expected: the layout, in words."""
    missing = [file for file in files if not exists(file)]
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
