"""What the tasks leave for the report: one `set.json` beside the pictures it names.

The file contract, so that `patchflow report OUT` can be run over whatever lies under OUT::

    OUT/<any folders>/set.json        one `SetRecord`; its `kind` decides how the page looks
    OUT/<any folders>/pictures/...    JPEG or PNG, named in it relative to the set.json's folder
    OUT/<any folders>/sketches/...    descriptors for the similarity inspector, int8 (rows, cols,
                                      channels) in C order, see `SketchRecord`
    OUT/<any folders>/metrics.json    of `patchflow evaluate`; becomes a benchmark's page
    OUT/<any folders>/missing.json    names of inputs that could not be used, and why

A field that is left out has its default; unknown fields are ignored, so that a report can be
made from the files of another version.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from storage.errors import StorageError
from storage.files import join, list_folder, remove
from storage.results import read_json, write_json

SET_FILE = "set.json"
METRICS_FILE = "metrics.json"
MISSING_FILE = "missing.json"
_RECORDS = (SET_FILE, METRICS_FILE, MISSING_FILE)
_STORE_FILE = "store.json"
REPORT_FOLDER = "report"
PICTURES = "pictures"  # folder beside a set.json
_DEPTH = 3
# Folders that hold a file for each image.
_NO_RECORDS = frozenset({REPORT_FOLDER, "pictures", "sketches", "masks", "frames"})

Kind = Literal["coseg", "parts", "pair", "video", "discover", "cluster", "search", "benchmark"]
Value = str | int | float | bool | None


class RecordError(ValueError):
    """A file of the contract that cannot be understood; the message names file and field."""


@dataclass(frozen=True, slots=True)
class GridRecord:
    """Where an image's patches lie. left, top, width, height: of all their cells together, as
    shares of the image; a cell is one stride wide, its patch in the middle.
    """

    rows: int
    cols: int
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image, frame or view.

    pictures: layer to path, for instance image, saliency, clusters, pca, overlay, parts, boxes;
    shown in this order. large: the same layers with more pixels, for the enlarged view, where
    there are any. grid, sketches: for the inspector; source id to path. jaccard: where the truth
    is known.
    numbers: anything else worth a line, for instance confidence.
    """

    name: str
    width: int
    height: int
    pictures: Mapping[str, str] = field(default_factory=dict)
    large: Mapping[str, str] = field(default_factory=dict)
    mask: str | None = None
    jaccard: float | None = None
    grid: GridRecord | None = None
    sketches: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, int | float | None] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClusterRecord:
    """One cluster and why it was kept or dropped.

    size: patches. votes, images: how many images vote for it and contain it. colour: (r, g, b)
    in the pictures.
    """

    id: int
    size: int
    mean_saliency: float
    votes: int
    images: int
    kept: bool
    reason: str
    colour: tuple[int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class TableRecord:
    """Any table. rows: as many values in each as there are columns."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]


@dataclass(frozen=True, slots=True)
class CurveRecord:
    """Lines over the images in their order, for instance a mask's area over time.

    lines: name to one value an image, None where unknown. low, high: the vertical range.
    """

    title: str
    lines: Mapping[str, tuple[float | None, ...]]
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True, slots=True)
class MatchRecord:
    """One correspondence between the first and the second image, in pixels of the originals."""

    source_x: float
    source_y: float
    target_x: float
    target_y: float
    similarity: float
    saliency: float | None = None


@dataclass(frozen=True, slots=True)
class SketchRecord:
    """One source of the inspector, for instance "layer 9 token".

    offsets, scales: one a channel; offset + scale x int8 value = reduced channel. mean_error,
    high_error: mean and 95th percentile of |cosine from the sketch - cosine of the full
    descriptors|; same_best: share of patches whose best match in another image stays the same
    or falls beside it.
    """

    id: str
    label: str
    offsets: tuple[float, ...]
    scales: tuple[float, ...]
    mean_error: float | None = None
    high_error: float | None = None
    same_best: float | None = None


@dataclass(frozen=True, slots=True)
class SetRecord:
    """One page of the report: an image set, pair, video or benchmark.

    numbers: the headline figures, name to value. notes: what a reader must know. cases: label to
    names of images worth a look. settings: what it was made with, plain JSON. movie: path of a
    video that a browser plays.
    """

    kind: Kind
    name: str
    images: tuple[ImageRecord, ...] = ()
    clusters: tuple[ClusterRecord, ...] = ()
    tables: tuple[TableRecord, ...] = ()
    curves: tuple[CurveRecord, ...] = ()
    matches: tuple[MatchRecord, ...] = ()
    sketches: tuple[SketchRecord, ...] = ()
    legend: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    numbers: Mapping[str, int | float | None] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    cases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    movie: str | None = None

    @property
    def mean_jaccard(self) -> float | None:
        """Over the images whose truth is known."""
        known = [image.jaccard for image in self.images if image.jaccard is not None]
        return sum(known) / len(known) if known else None


_RECORD = TypeAdapter(SetRecord)
_MISSING = TypeAdapter(dict[str, str])


def write_record(folder: str, record: SetRecord) -> str:
    """Write `folder`/set.json and return its URL."""
    return write_json(join(folder, SET_FILE), _RECORD.dump_python(record, mode="json"))


def read_record(url: str) -> SetRecord:
    """The record of one set.json.

    Raises:
        RecordError: not JSON, or a field that is missing or of the wrong type.
    """
    try:
        return _RECORD.validate_python(read_content(url))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise RecordError(
            f"{url}: {place}: {first['msg'].lower()}; write it with report_records.write_record"
        ) from error


def picture_files(images: Iterable[ImageRecord]) -> set[str]:
    """Names of the files in the folder `PICTURES` that records name."""
    paths = [path for one in images for path in (*one.pictures.values(), *one.large.values())]
    return {path.removeprefix(f"{PICTURES}/") for path in paths}


def write_missing(out: str, missing: Sequence[tuple[str, str]]) -> None:
    """Write `out`/missing.json, a reason by name, or remove an earlier run's."""
    url = join(out, MISSING_FILE)
    if missing:
        write_json(url, dict(missing))
    else:
        remove(url)


def read_missing(url: str) -> dict[str, str]:
    """The reasons of one missing.json, by name.

    Raises:
        RecordError: not JSON, or anything but texts by name.
    """
    try:
        return _MISSING.validate_python(read_content(url))
    except ValidationError as error:
        raise RecordError(f"{url}: expected a reason by name of each input") from error


def read_content(url: str) -> Any:
    """What a JSON file holds; RecordError where it is none."""
    try:
        return read_json(url)
    except StorageError as error:
        raise RecordError(str(error)) from error


def find_records(out: str) -> list[str]:
    """URLs of the files of the contract under `out`, sorted, the report left out."""
    return sorted(_find(out, _DEPTH))


def _find(folder: str, depth: int) -> list[str]:
    names = list_folder(folder)
    if _STORE_FILE in names:  # a store holds a folder for every partition, and no records
        return []
    found = [join(folder, name) for name in names if name in _RECORDS]
    if depth:
        for name in list_folder(folder, "directory"):
            if name not in _NO_RECORDS and not name.endswith(".zarr"):
                found += _find(join(folder, name), depth - 1)
    return found
