"""What a page of the report loads: its own data, and scripts with the rest."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from matplotlib import colormaps

from storage.files import join, write_bytes
from tasks.ops.draw import palette
from tasks.report_records import GridRecord, ImageRecord, SetRecord

LAYER_NAMES = {
    "image": "picture",
    "saliency": "saliency (square root)",
    "clusters": "clusters",
    "pca": "descriptors (PCA)",
    "overlay": "mask",
    "parts": "parts",
    "objects": "objects",
    "boxes": "boxes",
    "heads": "attention heads",
    "crop": "around the patch",
}
_CHUNK = 250  # images that come with the page, and in each further script


@dataclass(frozen=True, slots=True)
class Page:
    """One record on its way into the report. folder: URL of the files that it names. slug: the
    name of its page's file, unique in the report.
    """

    record: SetRecord
    folder: str
    slug: str

    @classmethod
    def of(cls, record: SetRecord, folder: str, place: str) -> "Page":
        """place: of the record's file under OUT; it makes the slug unique."""
        plain = re.sub(r"[^a-z0-9]+", "-", place.lower()).strip("-")[:80]
        if plain != place:  # something was lost, so that another place could look the same
            plain = f"{plain}-{_digest(place)}"
        return cls(record, folder, f"{plain}-{record.kind}".strip("-"))

    @property
    def layers(self) -> list[str]:
        """Picture layers that any image has, in the order of their first appearance."""
        return list(dict.fromkeys(k for image in self.record.images for k in image.pictures))

    @property
    def has_inspector(self) -> bool:
        """Whether there is something to inspect."""
        return bool(self.record.sketches) and any(map(_inspectable, self.record.images))

    @property
    def movie_file(self) -> str:
        """Name of the movie beside the page."""
        return f"{self.slug}{PurePosixPath(self.record.movie or 'movie.mp4').suffix}"


def write_chunks(page: Page, report: str) -> None:
    """Everything after the first images, as scripts that the page loads when it has opened."""
    images = page.record.images
    for start in range(_CHUNK, len(images), _CHUNK):
        part = [_image_data(page, n) for n in range(start, min(start + _CHUNK, len(images)))]
        script = f"patchflow.add({start}, {json.dumps(part, separators=(',', ':'))});\n"
        write_bytes(join(report, _chunk_file(page, start)), script.encode())


def chunk_files(page: Page) -> list[str]:
    """The further scripts, relative to the report."""
    return [_chunk_file(page, start) for start in range(_CHUNK, len(page.record.images), _CHUNK)]


def layer_file(number: int, layer: str, path: str) -> str:
    """A picture's name in the report: safe whatever the image and the layer are called."""
    plain = re.sub(r"[^a-z0-9]+", "-", layer.lower()).strip("-") or "layer"
    suffix = PurePosixPath(path).suffix.lower()
    return f"{number:05d}-{plain}{suffix if re.fullmatch(r'[.][a-z0-9]+', suffix) else ''}"


def image_files(number: int, image: ImageRecord) -> dict[str, str]:
    """The names of an image's pictures in the report, each with its path in the record."""
    small = {layer_file(number, layer, path): path for layer, path in image.pictures.items()}
    large = {layer_file(number, f"{k}-large", path): path for k, path in image.large.items()}
    return small | large


def page_data(page: Page) -> dict[str, Any]:
    """What set.js starts with; paths are relative to the page."""
    record = page.record
    return {
        "folder": f"../pictures/{page.slug}/",
        "layers": page.layers,
        "names": {layer: LAYER_NAMES.get(layer, layer) for layer in page.layers},
        "count": len(record.images),
        "images": [_image_data(page, n) for n in range(min(_CHUNK, len(record.images)))],
        "matches": [asdict(match) for match in record.matches],
        "colours": [hex_colour(colour) for colour in palette(max(len(record.matches), 1))],
    }


def _image_data(page: Page, number: int) -> dict[str, Any]:
    image = page.record.images[number]
    pictures = {k: layer_file(number, k, path) for k, path in image.pictures.items()}
    large = {k: layer_file(number, f"{k}-large", path) for k, path in image.large.items()}
    return {
        "name": image.name,
        "width": image.width,
        "height": image.height,
        "jaccard": image.jaccard,
        "numbers": dict(image.numbers),
        "warnings": image.warnings,
        "pictures": pictures,
        **({"large": large} if large else {}),
    }


def inspector_data(page: Page) -> dict[str, Any]:
    """What inspector.js starts with; the sketches follow as scripts, one an image and source."""
    ramp = (colormaps["inferno"](range(256), bytes=True)[:, :3]).tobytes().hex()
    return {
        "folder": f"../data/{page.slug}/",
        "ramp": ramp,
        "sources": [asdict(sketch) for sketch in page.record.sketches],
        "images": [
            _probe(page, number, image)
            for number, image in enumerate(page.record.images)
            if _inspectable(image)
        ],
    }


def _inspectable(image: ImageRecord) -> bool:
    return image.grid is not None and bool(image.sketches) and bool(image.pictures)


def _probe(page: Page, number: int, image: ImageRecord) -> dict[str, Any]:
    layer = "image" if "image" in image.pictures else next(iter(image.pictures))
    grid = image.grid or GridRecord(0, 0, 0, 0, 1, 1)
    return {
        "number": number,
        "name": image.name,
        "width": image.width,
        "height": image.height,
        "picture": f"../pictures/{page.slug}/{layer_file(number, layer, image.pictures[layer])}",
        "rows": grid.rows,
        "cols": grid.cols,
        "area": [grid.left, grid.top, grid.width, grid.height],
        "sources": sorted(image.sketches),
    }


def hex_colour(colour: Sequence[int]) -> str:
    """#rrggbb of (r, g, b)."""
    return "#{:02x}{:02x}{:02x}".format(*(int(value) for value in colour[:3]))


def _chunk_file(page: Page, start: int) -> str:
    return f"data/{page.slug}/images-{start:07d}.js"


def _digest(text: str) -> str:
    """A short name for a place whose letters cannot all be used in a file name."""
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
