"""Records as HTML pages: what each kind is called, which numbers lead, what is loaded later."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib import colormaps

from storage.files import join, write_bytes
from tasks.ops.draw import palette
from tasks.ops.draw_layout import curve_svg
from tasks.report_records import ImageRecord, Kind, SetRecord, TableRecord, Value

KIND_LABELS: dict[Kind, str] = {
    "coseg": "co-segmentation",
    "parts": "parts",
    "pair": "correspondences",
    "video": "video",
    "discover": "object discovery",
    "search": "patch search",
    "benchmark": "benchmark",
}
LAYER_NAMES = {
    "image": "picture",
    "saliency": "saliency (square root)",
    "clusters": "clusters",
    "pca": "descriptors (PCA)",
    "overlay": "mask",
    "parts": "parts",
    "boxes": "boxes",
}
_CHUNK = 250
_FRONT_LAYERS = ("overlay", "parts", "boxes", "matches", "image")
# Everything from the report's own folder, from a disk or from where the report is served.
POLICY = (
    "default-src 'none'; img-src 'self' file: data:; media-src 'self' file:; "
    "style-src 'self' file:; script-src 'self' file:; base-uri 'none'; form-action 'none'"
)


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
        """place: of the folder under OUT; it makes the slug unique."""
        plain = re.sub(r"[^A-Za-z0-9-]+", "-", f"{place}-{record.kind}").strip("-")
        odd = "" if re.fullmatch(r"[\w/-]*", place, re.ASCII) else f"-{_digest(place)}"
        return cls(record, folder, plain[:80].lower() + odd)

    @property
    def layers(self) -> list[str]:
        """Picture layers that any image has, in the order of their first appearance."""
        return list(dict.fromkeys(k for image in self.record.images for k in image.pictures))

    @property
    def has_inspector(self) -> bool:
        """Whether there is something to inspect."""
        return bool(self.record.sketches) and any(i.grid for i in self.record.images)

    @property
    def movie_file(self) -> str:
        """Name of the movie beside the page."""
        return f"{self.slug}{PurePosixPath(self.record.movie or 'movie.mp4').suffix}"


@dataclass(frozen=True, slots=True)
class Card:
    """An entry of the overview."""

    kind: Kind
    name: str
    label: str
    href: str
    pictures: tuple[str, ...]
    notes: tuple[str, ...]


def card(page: Page) -> Card:
    """The page's entry, with its first three images."""
    pictures = []
    for number, image in enumerate(page.record.images[:3]):
        layer = next((name for name in _FRONT_LAYERS if name in image.pictures), None)
        if layer is not None:
            name = layer_file(number, layer, image.pictures[layer])
            pictures.append(f"pictures/{page.slug}/{name}")
    notes = [f"{len(page.record.images)} images"] if page.record.images else []
    notes += [f"{name} {value}" for name, value in _scores(page.record)][:2]
    notes += [f"{len(page.record.warnings)} warnings"] if page.record.warnings else []
    return Card(
        page.record.kind,
        page.record.name,
        KIND_LABELS[page.record.kind],
        f"pages/{page.slug}.html",
        tuple(pictures),
        tuple(notes),
    )


def render_index(title: str, cards: Sequence[Card], problems: Sequence[str]) -> str:
    """The overview."""
    kinds = [
        (kind, label) for kind, label in KIND_LABELS.items() if kind in {c.kind for c in cards}
    ]
    return (
        _environment()
        .get_template("report_index.html.j2")
        .render(
            title=title,
            root="",
            cards=cards,
            kinds=kinds,
            problems=problems,
            numbers=[("results", len(cards))],
        )
    )


def render_page(page: Page) -> dict[str, str]:
    """HTML by file name: the record's page, and its inspector where it has sketches."""
    record = page.record
    inspector = f"{page.slug}-inspector.html" if page.has_inspector else None
    chunks = range(_CHUNK, len(record.images), _CHUNK)
    html = {
        f"{page.slug}.html": _environment()
        .get_template("report_set.html.j2")
        .render(
            root="../",
            record=record,
            label=KIND_LABELS[record.kind],
            numbers=_headline(record),
            inspector=inspector,
            movie=page.movie_file if record.movie else None,
            curves=[(c.title, Markup(_curve(c.lines, c.low, c.high))) for c in record.curves],  # noqa: S704
            scored=any(image.jaccard is not None for image in record.images),
            warned=any(image.warnings for image in record.images),
            top_saliency=max((c.mean_saliency for c in record.clusters), default=1.0) or 1.0,
            settings=json.dumps(record.settings, indent=2, default=str) if record.settings else "",
            page=_page_data(page),
            chunks=[_chunk_file(page, start) for start in chunks],
        )
    }
    if inspector:
        html[inspector] = (
            _environment()
            .get_template("report_inspector.html.j2")
            .render(root="../", record=record, back=f"{page.slug}.html", page=_inspector_data(page))
        )
    return html


def write_chunks(page: Page, report: str) -> None:
    """Everything after the first images, as scripts that the page loads when it has opened."""
    images = page.record.images
    for start in range(_CHUNK, len(images), _CHUNK):
        part = [_image_data(page, n) for n in range(start, min(start + _CHUNK, len(images)))]
        script = f"patchflow.add({start}, {json.dumps(part, separators=(',', ':'))});\n"
        write_bytes(join(report, _chunk_file(page, start)), script.encode())


def layer_file(number: int, layer: str, path: str) -> str:
    """A picture's name in the report: safe whatever the image and the layer are called."""
    plain = re.sub(r"[^a-z0-9]+", "-", layer.lower()).strip("-") or "layer"
    suffix = PurePosixPath(path).suffix.lower()
    return f"{number:05d}-{plain}{suffix if re.fullmatch(r'[.][a-z0-9]+', suffix) else ''}"


def _page_data(page: Page) -> dict[str, Any]:
    record = page.record
    return {
        "folder": f"../pictures/{page.slug}/",
        "layers": page.layers,
        "names": {layer: LAYER_NAMES.get(layer, layer) for layer in page.layers},
        "count": len(record.images),
        "images": [_image_data(page, n) for n in range(min(_CHUNK, len(record.images)))],
        "matches": [asdict(match) for match in record.matches],
        "colours": [_hex(colour) for colour in palette(max(len(record.matches), 1))],
    }


def _image_data(page: Page, number: int) -> dict[str, Any]:
    image = page.record.images[number]
    return {
        "name": image.name,
        "width": image.width,
        "height": image.height,
        "jaccard": image.jaccard,
        "numbers": dict(image.numbers),
        "warnings": image.warnings,
        "pictures": {k: layer_file(number, k, path) for k, path in image.pictures.items()},
    }


def _inspector_data(page: Page) -> dict[str, Any]:
    ramp = (colormaps["inferno"](range(256), bytes=True)[:, :3]).tobytes().hex()
    return {
        "folder": f"../data/{page.slug}/",
        "ramp": ramp,
        "sources": [asdict(sketch) for sketch in page.record.sketches],
        "images": [_probe(page, n, image) for n, image in enumerate(page.record.images)],
    }


def _probe(page: Page, number: int, image: ImageRecord) -> dict[str, Any]:
    layer = "image" if "image" in image.pictures else next(iter(image.pictures), "image")
    name = layer_file(number, layer, image.pictures.get(layer, ""))
    grid = image.grid
    return {
        "name": image.name,
        "width": image.width,
        "height": image.height,
        "picture": f"../pictures/{page.slug}/{name}",
        "rows": grid.rows if grid else 0,
        "cols": grid.cols if grid else 0,
        "area": [grid.left, grid.top, grid.width, grid.height] if grid else [0, 0, 1, 1],
    }


def _headline(record: SetRecord) -> list[tuple[str, str]]:
    numbers = [("images", f"{len(record.images):,}")] if record.images else []
    if record.clusters:
        kept = sum(cluster.kept for cluster in record.clusters)
        numbers.append(("clusters kept", f"{kept} of {len(record.clusters)}"))
    return numbers + _scores(record)


def _scores(record: SetRecord) -> list[tuple[str, str]]:
    scores = dict(record.numbers)
    if record.mean_jaccard is not None:
        scores.setdefault("mean Jaccard", record.mean_jaccard)
    return [(name, f"{value:.3f}") for name, value in scores.items() if value is not None]


def _curve(lines: Mapping[str, Sequence[float | None]], low: float, high: float) -> str:
    values = [[float("nan") if v is None else v for v in line] for line in lines.values()]
    return curve_svg(values, list(lines), low=low, high=high)


def _chunk_file(page: Page, start: int) -> str:
    return f"data/{page.slug}/images-{start:07d}.js"


def _swatch(colour: Sequence[int]) -> Markup:
    return Markup(  # noqa: S704 (three numbers)
        f'<svg class="swatch" width="14" height="14" aria-hidden="true">'
        f'<rect width="14" height="14" rx="3" fill="{_hex(colour)}"/></svg>'
    )


def _hex(colour: Sequence[int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*(int(value) for value in colour[:3]))


def _numeric_columns(table: TableRecord) -> set[int]:
    """Columns that hold numbers and nothing else, which are set to the right."""
    return {
        n
        for n in range(len(table.columns))
        if all(row[n] is None or _is_number(row[n]) for row in table.rows if n < len(row))
        and any(n < len(row) and row[n] is not None for row in table.rows)
    }


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Value) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _digest(text: str) -> str:
    """A short name for a place whose letters cannot all be used in a file name."""
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.globals.update(
        policy=POLICY, swatch=_swatch, numeric=_numeric_columns, shown=_shown
    )
    return environment
