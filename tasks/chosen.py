"""Which images of a source are meant, where they are not all.

A flow's parameters may take 512 KB at Prefect's server, the names of 20,000 images take more:
long lists are left in a file, and ``("@URL",)`` stands for the names in it.
"""

from collections.abc import Iterable

from storage.files import join
from storage.results import read_json, write_json

Names = tuple[str, ...]
_MOST = 1000  # names that are a parameter themselves
_FILE = "images_chosen.json"


def as_parameter(names: Iterable[str], out: str) -> Names:
    """`names` as a flow's parameter ``only``; a long list is written below `out`."""
    given = tuple(names)
    if len(given) <= _MOST:
        return given
    return (f"@{write_json(join(out, _FILE), given)}",)


def chosen_names(only: Names) -> Names:
    """The names that a parameter ``only`` stands for."""
    if len(only) == 1 and only[0].startswith("@"):
        return tuple(read_json(only[0].removeprefix("@")))
    return only
