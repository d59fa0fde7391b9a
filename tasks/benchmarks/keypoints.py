"""Benchmarks of keypoint pairs in their official layouts: PF-WILLOW, PF-PASCAL, SPair-71k, AP-10K.

Keypoints are brought into our frame, in which the centre of the top-left pixel is (0.5, 0.5):
Matlab's pixels (PF-WILLOW, PF-PASCAL) count from 1, those of SPair-71k and AP-10K from 0.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from prefect import task

from storage.files import exists, join, list_folder, read_bytes
from tasks.benchmarks.layout import LayoutError, choose, require
from tasks.faults import STORAGE_RETRIES
from tasks.ops.pck import box_basis, keypoint_basis

Point = tuple[float, float]
_MATLAB, _ZERO = -0.5, 0.5
_PASCAL_TABLES = ("test_pairs_pf_pascal.csv", "test_pairs.csv", "image_pairs/test_pairs.csv")
_PASCAL = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)


@dataclass(frozen=True, slots=True)
class KeypointPair:
    """One test pair.

    source, target: image names below the root. source_xy, target_xy: the keypoints seen in
    both, pixels. basis: the threshold's length in pixels, None for max(width, height) of the
    target image.
    """

    name: str
    category: str
    source: str
    target: str
    source_xy: tuple[Point, ...]
    target_xy: tuple[Point, ...]
    basis: float | None


@dataclass(frozen=True, slots=True)
class KeypointBenchmark:
    """What is evaluated. basis: of the threshold, in words."""

    root: str
    pairs: tuple[KeypointPair, ...]
    basis: str

    @property
    def names(self) -> tuple[str, ...]:
        """All images, as the extraction of the root names them."""
        return tuple(dict.fromkeys(n for p in self.pairs for n in (p.source, p.target)))


@task(name="load-benchmark", task_run_name="{benchmark} in {root}", **STORAGE_RETRIES)
def load(
    benchmark: str, root: str, classes: Sequence[str] = (), limit: int | None = None
) -> KeypointBenchmark:
    """Check the layout and choose `classes` and the first `limit` pairs of each.

    Raises:
        LayoutError: files that are missing or malformed, or unknown classes.
    """
    loader, basis, layout = LOADERS[benchmark]
    pairs: list[KeypointPair] = []
    try:
        pairs.extend(map(_sound, loader(root)))
    except LayoutError as error:
        raise LayoutError(f"{error}. Expected {layout}") from error
    except (KeyError, TypeError, IndexError, ValueError, AttributeError, csv.Error) as error:
        raise LayoutError(
            f"{root}: an annotation of {benchmark} is malformed, that after pair {len(pairs)} "
            f"({type(error).__name__}: {error}). Expected {layout}"
        ) from error
    chosen = choose(sorted({p.category for p in pairs}), classes, "class")
    kept: dict[str, list[KeypointPair]] = {name: [] for name in chosen}
    for pair in pairs:
        if pair.category in kept and len(kept[pair.category]) < (limit or 10**9):
            kept[pair.category].append(pair)
    found = KeypointBenchmark(root, tuple(p for ps in kept.values() for p in ps), basis)
    if not found.pairs:
        raise LayoutError(f"{root}: no pairs. Expected {layout}")
    require(root, (join(root, name) for name in found.names), layout)
    return found


def pf_willow(root: str) -> Iterator[KeypointPair]:
    """Ham et al. 2016; pairs in ``test_pairs.csv``, keypoints as XA1.., YA1.., XB1.., YB1..."""
    for number, row in enumerate(_table(join(root, "test_pairs.csv"))):
        count = sum(column.startswith("XA") for column in row)
        sides = [
            _points([[row[f"{axis}{side}{i + 1}"] for axis in "XY"] for i in range(count)], _MATLAB)
            for side in "AB"
        ]
        yield KeypointPair(
            name=f"{number:04d}",
            category=row["imageA"].split("/")[-2],
            source=row["imageA"],
            target=row["imageB"],
            source_xy=sides[0],
            target_xy=sides[1],
            basis=keypoint_basis(np.array(sides[1])),
        )


def pf_pascal(root: str) -> Iterator[KeypointPair]:
    """Ham et al. 2018; the usual test split: source_image, target_image, class, XA, YA, XB, YB.

    The table is handed on under several names; the first of `_PASCAL_TABLES` that is there counts.
    """
    there = [url for url in (join(root, name) for name in _PASCAL_TABLES) if exists(url)]
    for number, row in enumerate(_table(there[0] if there else join(root, _PASCAL_TABLES[0]))):
        sides = [
            _points(zip(*(row[f"{axis}{side}"].split(";") for axis in "XY"), strict=True), _MATLAB)
            for side in "AB"
        ]
        label = row["class"]
        yield KeypointPair(
            name=f"{number:04d}",
            category=_PASCAL[int(label) - 1] if label.isdecimal() else label,
            source=row["source_image"],
            target=row["target_image"],
            source_xy=sides[0],
            target_xy=sides[1],
            basis=None,
        )


def spair71k(root: str) -> Iterator[KeypointPair]:
    """Min et al. 2019; ``PairAnnotation/test/*.json``, images in ``JPEGImages/<category>``."""
    folder = join(root, "PairAnnotation", "test")
    for file in sorted(f for f in list_folder(folder) if f.endswith(".json")):
        pair = json.loads(read_bytes(join(folder, file)))
        category = pair["category"]
        yield KeypointPair(
            name=file.removesuffix(".json"),
            category=category,
            source=f"JPEGImages/{category}/{pair['src_imname']}",
            target=f"JPEGImages/{category}/{pair['trg_imname']}",
            source_xy=_points(pair["src_kps"], _ZERO),
            target_xy=_points(pair["trg_kps"], _ZERO),
            basis=box_basis(pair["trg_bndbox"]),
        )


def ap10k(root: str) -> Iterator[KeypointPair]:
    """Yu et al. 2021 in its COCO layout; every lone animal with the next of its species.

    The data set defines poses, not pairs; images with one animal are paired in the order of
    their file names where at least 3 keypoints are seen in both.
    """
    content = json.loads(_read(join(root, "annotations", "ap10k-test-split1.json")))
    species = {item["id"]: item["name"] for item in content["categories"]}
    files = {item["id"]: item["file_name"] for item in content["images"]}
    animals: dict[int, list[Any]] = {}
    for item in content["annotations"]:
        animals.setdefault(item["image_id"], []).append(item)
    lone = sorted((files[i], found[0]) for i, found in animals.items() if len(found) == 1)
    for kind in sorted({item["category_id"] for _, item in lone}):
        members = [(file, item) for file, item in lone if item["category_id"] == kind]
        for (file, item), (other_file, other) in pairwise(members):
            here, there = (np.reshape(i["keypoints"], (-1, 3)) for i in (item, other))
            seen = (here[:, 2] > 0) & (there[:, 2] > 0)
            if seen.sum() < 3:
                continue
            left, top, width, height = other["bbox"]
            yield KeypointPair(
                name=f"{file.rpartition('.')[0]}-{other_file.rpartition('.')[0]}",
                category=species[kind],
                source=f"data/{file}",
                target=f"data/{other_file}",
                source_xy=_points(here[seen, :2], _ZERO),
                target_xy=_points(there[seen, :2], _ZERO),
                basis=box_basis((left, top, left + width, top + height)),
            )


def _sound(pair: KeypointPair) -> KeypointPair:
    """The pair, if a transfer of its keypoints can be scored.

    Raises:
        ValueError: no keypoints, coordinates that are no numbers, or a basis without length.
    """
    points = np.array([pair.source_xy, pair.target_xy], dtype=np.float64)
    if not points.size or not np.isfinite(points).all():
        raise ValueError(f"pair {pair.name} has no keypoints, or some that are no numbers")
    if pair.basis is not None and not 0 < pair.basis < np.inf:
        raise ValueError(f"the threshold's basis of pair {pair.name} is {pair.basis:g} pixels")
    return pair


def _points(values: Any, shift: float) -> tuple[Point, ...]:
    return tuple((float(x) + shift, float(y) + shift) for x, y in values)


def _table(url: str) -> Iterator[dict[str, str]]:
    return csv.DictReader(io.StringIO(_read(url).decode("utf-8-sig")))


def _read(url: str) -> bytes:
    if not exists(url):
        raise LayoutError(f"{url} is missing")
    return read_bytes(url)


Loader = Callable[[str], Iterator[KeypointPair]]
# Name to loader, the threshold's basis and the layout, in words.
LOADERS: dict[str, tuple[Loader, str, str]] = {
    "pf-willow": (
        pf_willow,
        "max side of the box around the target's keypoints",
        "test_pairs.csv and PF-dataset/<class>/<stem>.png",
    ),
    "pf-pascal": (
        pf_pascal,
        "max side of the target image",
        "test_pairs_pf_pascal.csv (or test_pairs.csv) and PF-dataset-PASCAL/JPEGImages/<stem>.jpg",
    ),
    "spair71k": (
        spair71k,
        "max side of the target object's box",
        "PairAnnotation/test/*.json and JPEGImages/<category>/<stem>.jpg",
    ),
    "ap-10k": (
        ap10k,
        "max side of the target animal's box",
        "annotations/ap10k-test-split1.json and data/<file>.jpg",
    ),
}
