"""Small JSON files that notice a flipped byte, and rows of records as columns in them.

Columns take a tenth of the size and time of a list of objects.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from storage.errors import StoreCorruptError

__all__ = [
    "decode_columns",
    "decode_object",
    "decode_table",
    "digest",
    "encode",
    "encode_columns",
    "parse_json",
    "seal",
    "seal_text",
    "typed",
    "unseal",
]

_SEAL = b',"digest":"%s"}'
_BLANK = b"0" * 32
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def encode(value: object) -> bytes:
    """Compact JSON."""
    return _ENCODER.encode(value).encode()


def seal(value: Mapping[str, Any]) -> bytes:
    """Compact JSON of an object, with a last field ``digest`` over all before it."""
    return seal_text(encode(value))


def seal_text(body: bytes) -> bytes:
    """``seal`` of an object that is JSON already."""
    return body[:-1] + _SEAL % digest(body).encode()


def unseal(data: bytes, file: str) -> Any:
    """What ``seal`` wrote; a flipped byte anywhere in it is an error."""
    body = data[: -len(_SEAL % _BLANK)] + b"}"
    if data != body[:-1] + _SEAL % digest(body).encode():
        parse_json(data, file)
        raise StoreCorruptError(
            f"{file}: its content does not match its digest. `patchflow verify --repair` sets it "
            "aside; the next run stores its images again."
        )
    return parse_json(body, file)


def parse_json(data: bytes, file: str) -> Any:
    """JSON, or an error that names the file."""
    try:
        return json.loads(data)
    except ValueError as error:
        raise StoreCorruptError(
            f"{file}: cut off or not JSON ({error}). `patchflow verify --repair` sets it aside; "
            "the next run stores its images again."
        ) from error


def decode_object(raw: object, names: Sequence[str], file: str) -> dict[str, Any]:
    """A JSON object that has exactly these fields."""
    if not isinstance(raw, dict):
        raise StoreCorruptError(f"{file}: expected an object with {names}, got {raw!r:.80}.")
    missing = [name for name in names if name not in raw]
    if missing:
        raise StoreCorruptError(f"{file}: field {missing[0]!r} is missing.")
    unknown = [name for name in raw if name not in names]
    if unknown:
        raise StoreCorruptError(f"{file}: unknown field {unknown[0]!r}.")
    return raw


def typed(raw: Mapping[str, Any], name: str, kind: Any, file: str) -> Any:
    """A field of an object, which must be of this kind."""
    if not isinstance(raw[name], kind):
        raise StoreCorruptError(
            f"{file}: field {name!r} should be a {getattr(kind, '__name__', 'number')}, "
            f"got {raw[name]!r:.80}."
        )
    return raw[name]


def encode_columns(record: type[Any], rows: Sequence[Any]) -> dict[str, list[Any]]:
    """Named tuples as one list for each field."""
    columns = zip(*rows, strict=True) if rows else ((),) * len(record._fields)
    return {name: list(column) for name, column in zip(record._fields, columns, strict=True)}


def decode_columns(record: type[Any], raw: object, file: str) -> list[Any]:
    """Named tuples from their columns, whose lengths must agree."""
    return list(map(record._make, zip(*decode_table(record, raw, file), strict=True)))


def decode_table(record: type[Any], raw: object, file: str) -> list[list[Any]]:
    """The columns of named tuples, in the order of their fields; their lengths must agree."""
    columns = decode_object(raw, record._fields, file)
    lengths = {name: len(typed(columns, name, list, file)) for name in record._fields}
    if len(set(lengths.values())) > 1:
        raise StoreCorruptError(f"{file}: columns of different lengths: {lengths}.")
    for name in ("supersedes", "grid"):
        if name in columns:
            columns[name] = [tuple(value) for value in columns[name]]
    return [columns[name] for name in record._fields]


def digest(*parts: bytes | memoryview) -> str:
    """blake2b-128 over parts, each preceded by its length so that no two splits agree."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        state.update(len(part).to_bytes(8, "little"))
        state.update(part)
    return state.hexdigest()
