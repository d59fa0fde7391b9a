"""What a store was made with, compared with what a run has."""

import json
from collections.abc import Mapping
from typing import Any

from storage.errors import StoreMismatchError
from storage.store_info import StoreInfo

__all__ = ["ordered", "plain", "refuse_other_settings"]

_ABSENT = "nothing"


def plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON makes of a mapping, so that tuples and lists compare equal."""
    plain: dict[str, Any] = json.loads(json.dumps(value))
    return plain


def ordered(value: Any) -> Any:
    """A JSON value whose mappings are sorted, so that equal ones are encoded alike."""
    if isinstance(value, Mapping):
        return {key: ordered(value[key]) for key in sorted(value)}
    return value


def refuse_other_settings(url: str, found: StoreInfo, wanted: StoreInfo) -> None:
    """Raise StoreMismatchError, naming the first setting in which a store and a run differ."""
    for part in ("config", "weights"):
        difference = _first_difference(getattr(found, part), getattr(wanted, part), part)
        if difference:
            field, old, new = difference
            name = field.rpartition(".")[2]
            remedy = f"Leave {name} out" if old == _ABSENT else f"Use {name} = {old}"
            raise StoreMismatchError(
                f"{url} was made with {field} = {old}, this run has {field} = {new}. "
                f"{remedy}, or write to another store: one store holds one kind of descriptor."
            )


def _first_difference(old: Any, new: Any, path: str) -> tuple[str, str, str] | None:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if old.get(key) is None and new.get(key) is None:
                continue  # a setting that came later, unset, is what stores before it meant
            if key not in old or key not in new:
                shown = [json.dumps(side[key]) if key in side else _ABSENT for side in (old, new)]
                return f"{path}.{key}", shown[0], shown[1]
            difference = _first_difference(old[key], new[key], f"{path}.{key}")
            if difference:
                return difference
        return None
    return None if old == new else (path, json.dumps(old), json.dumps(new))
