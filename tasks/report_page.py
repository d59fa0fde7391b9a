"""Records as HTML pages: what each kind is called, which numbers lead, what is loaded later."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tasks.ops.draw_layout import curve_svg
from tasks.report_data import (
    Page,
    chunk_files,
    hex_colour,
    inspector_data,
    layer_file,
    page_data,
)
from tasks.report_records import Kind, SetRecord, TableRecord, Value

# In the order of the overview.
KIND_LABELS: dict[Kind, str] = {
    "benchmark": "benchmark",
    "coseg": "co-segmentation",
    "parts": "parts",
    "pair": "correspondences",
    "video": "video",
    "discover": "object discovery",
    "cluster": "dataset clustering",
    "search": "patch search",
}
_LISTED = 200  # inputs that could not be used; all are in their file
_FRONT_LAYERS = ("parts", "overlay", "objects", "boxes", "image")
# Everything from the report's own folder, from a disk or from where the report is served.
# One transparent pixel, for pictures that are chosen later: an empty src counts as broken.
BLANK = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
POLICY = (
    "default-src 'none'; img-src 'self' file: data:; media-src 'self' file:; "
    "style-src 'self' file:; script-src 'self' file:; base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True, slots=True)
class Card:
    """An entry of the overview. score: shown large where there is no picture."""

    kind: Kind
    name: str
    label: str
    href: str
    pictures: tuple[str, ...]
    notes: tuple[str, ...]
    score: str | None


def card(page: Page) -> Card:
    """The page's entry, with its first three images."""
    pictures = []
    for number, image in enumerate(page.record.images[:3]):
        known = (*_FRONT_LAYERS, *image.pictures)
        layer = next((name for name in known if name in image.pictures), None)
        if layer is not None:
            name = layer_file(number, layer, image.pictures[layer])
            pictures.append(f"pictures/{page.slug}/{name}")
    scores = _scores(page.record)
    counted = page.record.kind != "benchmark" and _is_counted(page.record)
    notes = [f"{len(page.record.images):,} {_unit(page.record)}"] if counted else []
    notes += [f"{name} {value}" for name, value in scores][: 3 - len(notes)]
    warnings = len(page.record.warnings)
    notes += [f"{warnings} warning{'s' if warnings > 1 else ''}"] if warnings else []
    return Card(
        page.record.kind,
        page.record.name,
        KIND_LABELS[page.record.kind],
        f"pages/{page.slug}.html",
        tuple(pictures),
        tuple(notes),
        scores[0][1] if scores else None,
    )


def render_index(
    title: str, cards: Sequence[Card], problems: Sequence[str], missing: Mapping[str, str]
) -> str:
    """The overview. missing: reasons by name of inputs that could not be used."""
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
            missing=missing,
            listed=_LISTED,
        )
    )


def render_page(page: Page) -> dict[str, str]:
    """HTML by file name: the record's page, and its inspector where it has sketches."""
    record = page.record
    inspector = f"{page.slug}-inspector.html" if page.has_inspector else None
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
            page=page_data(page),
            chunks=chunk_files(page),
        )
    }
    if inspector:
        html[inspector] = (
            _environment()
            .get_template("report_inspector.html.j2")
            .render(root="../", record=record, back=f"{page.slug}.html", page=inspector_data(page))
        )
    return html


def _headline(record: SetRecord) -> list[tuple[str, str]]:
    if record.kind == "benchmark":
        return _scores(record)
    counted = _is_counted(record)
    numbers = [(_unit(record), f"{len(record.images):,}")] if counted else []
    if record.clusters and record.kind == "coseg":
        kept = sum(cluster.kept for cluster in record.clusters)
        numbers.append(("clusters kept", f"{kept} of {len(record.clusters)}"))
    return numbers + _scores(record)


def _is_counted(record: SetRecord) -> bool:
    """Whether to count the images here: not where the task did, which may show only some."""
    return bool(record.images) and _unit(record) not in record.numbers


def _unit(record: SetRecord) -> str:
    return "frames" if record.kind == "video" else "images"


def _scores(record: SetRecord) -> list[tuple[str, str]]:
    scores = dict(record.numbers)
    if record.mean_jaccard is not None and record.kind != "benchmark":
        scores.setdefault("mean Jaccard", record.mean_jaccard)
    return [(name, _number(value)) for name, value in scores.items() if value is not None]


def _curve(lines: Mapping[str, Sequence[float | None]], low: float, high: float) -> str:
    values = [[float("nan") if v is None else v for v in line] for line in lines.values()]
    return curve_svg(values, list(lines), low=low, high=high)


def _swatch(colour: Sequence[int]) -> Markup:
    return Markup(  # noqa: S704 (three numbers)
        f'<svg class="swatch" width="14" height="14" aria-hidden="true">'
        f'<rect width="14" height="14" rx="3" fill="{hex_colour(colour)}"/></svg>'
    )


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
    return _number(value) if isinstance(value, float) else str(value)


def _number(value: int | float) -> str:
    """Three decimals, counts without any: 0.500, 1.000, 324."""
    whole = isinstance(value, int) or (value.is_integer() and abs(value) > 1)
    return f"{value:,.0f}" if whole else f"{value:.3f}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.globals.update(
        policy=POLICY, blank=BLANK, swatch=_swatch, numeric=_numeric_columns, shown=_shown
    )
    return environment
