"""A few results, small enough to be shown inside the Prefect UI."""

from collections.abc import Iterator

from storage.errors import StorageError
from storage.files import join, read_bytes
from storage.images import decode_image
from tasks.inline import jpeg_uri
from tasks.ops.compose import ImageArray
from tasks.ops.draw_layout import contact_sheet
from tasks.report_records import SET_FILE, RecordError, find_records, read_record

_SETS, _IMAGES = 4, 8
_CELL = (150, 120)
# What a task is about, the most telling first.
_LAYERS = ("parts", "objects", "boxes", "overlay", "warped")


def glimpses(out: str) -> Iterator[tuple[str, str]]:
    """(name, ``data:`` URI) of a contact sheet for each of the first sets under `out`.

    A set without pictures, or whose pictures cannot be read, is passed over.
    """
    records = [url for url in find_records(out) if url.endswith(f"/{SET_FILE}")]
    for url in records[:_SETS]:
        try:
            name, pictures = _pictures(url)
        except (RecordError, StorageError, OSError):
            continue
        if pictures:
            yield name, jpeg_uri(contact_sheet(pictures, cell=_CELL))


def _pictures(url: str) -> tuple[str, list[ImageArray]]:
    record = read_record(url)
    folder = url.rpartition("/")[0]
    found = []
    for image in record.images[:_IMAGES]:
        layers = _LAYERS if len(image.pictures) > 1 else image.pictures
        path = next((image.pictures[layer] for layer in layers if layer in image.pictures), None)
        if path is not None:
            found.append(decode_image(read_bytes(join(folder, path)), path))
    return f"{record.kind} {record.name}", found
