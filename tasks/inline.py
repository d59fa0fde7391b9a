"""Pictures small enough to travel inside an artifact: the Prefect UI shows no file:// URLs."""

import base64

from storage.files import read_bytes

_TYPES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp"}


def data_uri(url: str) -> str:
    """The picture at `url` as a ``data:`` URI."""
    kind = _TYPES[url.rsplit(".", 1)[-1].lower()]
    return f"data:{kind};base64,{base64.b64encode(read_bytes(url)).decode()}"
