"""``store.json``: what every image of a store was made with, for people to read as well."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storage.errors import StoreCorruptError
from storage.layout import check_format
from storage.sealed import decode_object, parse_json, typed

__all__ = ["StoreInfo", "decode_store_info", "encode_store_info"]

_NAMES = ("format", "config", "weights", "versions")


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """The file's content.

    Attributes:
        format: of the store, `storage.layout.FORMAT`.
        config: the extraction's settings.
        weights: ``name`` and ``sha256`` of the model's weights.
        versions: of the libraries that matter.
    """

    format: int
    config: Mapping[str, Any]
    weights: Mapping[str, Any]
    versions: Mapping[str, Any]


def encode_store_info(info: StoreInfo) -> bytes:
    """The file's bytes."""
    content = {name: getattr(info, name) for name in _NAMES}
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def decode_store_info(data: bytes, file: str) -> StoreInfo:
    """Parse ``store.json`` strictly; ``file`` is for the errors."""
    try:
        content = parse_json(data, file)
    except StoreCorruptError as error:
        raise StoreCorruptError(
            f"{file}: cut off or not JSON. It says what all images were made with, and nothing "
            "else does: restore it from a backup, or extract into a new store."
        ) from error
    check_format(content, file)
    raw = decode_object(content, _NAMES, file)
    for name in ("config", "weights", "versions"):
        typed(raw, name, dict, file)
    return StoreInfo(**raw)
