"""Pictures small enough to travel inside an artifact: the Prefect UI shows no file:// URLs."""

import base64
import io

from PIL import Image

from storage.files import read_bytes
from tasks.ops.compose import ImageArray

_TYPES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp"}


def data_uri(url: str) -> str:
    """The picture at `url` as a ``data:`` URI."""
    kind = _TYPES[url.rsplit(".", 1)[-1].lower()]
    return f"data:{kind};base64,{base64.b64encode(read_bytes(url)).decode()}"


def jpeg_uri(pixels: ImageArray) -> str:
    """(H, W, 3) uint8 as a ``data:`` URI."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
