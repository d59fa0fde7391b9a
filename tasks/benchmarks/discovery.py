"""Object discovery benchmarks: one box an image, scored by CorLoc.

PASCAL VOC 2007 and 2012, as unpacked (or the folder that holds VOCdevkit/VOC2007)::

    ROOT/ImageSets/Main/trainval.txt   one stem a line
    ROOT/JPEGImages/<stem>.jpg         ROOT/Annotations/<stem>.xml
    ROOT/SegmentationObject/<stem>.png optional: 0 background, 255 void

COCO20k (Vo et al. 2020: 19,817 images of train2014)::

    ROOT/coco_20k_filenames.txt        train2014/<file> a line
    ROOT/train2014/<file>              ROOT/annotations/instances_train2014.json

All labelled objects count, difficult and truncated ones too, crowds do not; images without an
object are left out: as LOST and TokenCut evaluate.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from xml.etree import ElementTree

import numpy as np
from prefect import task

from storage.errors import StorageError
from storage.files import exists, join, list_folder, read_bytes
from storage.results import read_indexed_png, read_json, read_mask
from tasks.benchmarks.layout import LayoutError, choose, require
from tasks.faults import STORAGE_RETRIES
from tasks.ops.corloc import TrueBoxes, corloc
from tasks.ops.metrics import jaccard
from tasks.scores import Scores
from tasks.sets import result_stems

VOC_LAYOUT = "ImageSets/Main/trainval.txt, JPEGImages/<stem>.jpg and Annotations/<stem>.xml"
COCO_LAYOUT = "coco_20k_filenames.txt, train2014/<file> and annotations/instances_train2014.json"
_VOID = 255


@dataclass(frozen=True, slots=True)
class DiscoveryBenchmark:
    """What is evaluated. images: the folder of the pictures. truths: by image name there.
    masks: URL of a mask of objects by image name, where there is one.
    """

    images: str
    truths: Mapping[str, TrueBoxes]
    masks: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """All images, as the extraction of `images` names them."""
        return tuple(self.truths)


@task(name="load-benchmark", task_run_name="{benchmark} in {root}", **STORAGE_RETRIES)
def load(
    benchmark: str, root: str, classes: Sequence[str] = (), limit: int | None = None
) -> DiscoveryBenchmark:
    """Check the layout; keep images of `classes`, the first `limit` of each class.

    Raises:
        LayoutError: files that are missing or malformed, or unknown classes.
    """
    found = load_coco20k(root) if benchmark == "coco20k" else load_voc(root)
    known = sorted({name for truth in found.truths.values() for name in truth.names})
    chosen = set(choose(known, classes, "class"))
    counts = dict.fromkeys(chosen, 0)
    kept: dict[str, TrueBoxes] = {}
    for image, truth in found.truths.items():
        here = chosen & set(truth.names)
        if here and min(counts[name] for name in here) < (limit or 10**9):
            kept[image] = truth
            for name in here:
                counts[name] += 1
    return DiscoveryBenchmark(found.images, kept, found.masks)


def load_voc(root: str) -> DiscoveryBenchmark:
    """PASCAL VOC's trainval images with objects.

    Raises:
        LayoutError: see `load`.
    """
    root = _inside_devkit(root)
    stems = _lines(root, "ImageSets/Main/trainval.txt", VOC_LAYOUT)
    images = join(root, "JPEGImages")
    annotations = {stem: join(root, "Annotations", f"{stem}.xml") for stem in stems}
    require(root, (join(images, f"{stem}.jpg") for stem in stems), VOC_LAYOUT)
    require(root, annotations.values(), VOC_LAYOUT)
    truths = {f"{stem}.jpg": read_voc_boxes(url) for stem, url in annotations.items()}
    folder = join(root, "SegmentationObject")
    drawn = set(list_folder(folder)) if exists(folder) else set()
    masks = {f"{s}.jpg": join(folder, f"{s}.png") for s in stems if f"{s}.png" in drawn}
    return DiscoveryBenchmark(images, {k: t for k, t in truths.items() if t.names}, masks)


def read_voc_boxes(url: str) -> TrueBoxes:
    """The objects of one annotation; VOC's pixels count from 1 and its ends are inclusive.

    Raises:
        LayoutError: not VOC's XML.
    """
    data = read_bytes(url)
    try:
        if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
            raise LayoutError(f"{url}: holds a document type, which VOC's annotations do not")
        objects = list(ElementTree.fromstring(data).iter("object"))  # noqa: S314 - see above
        names = tuple(_text(o, "name") for o in objects)
        ends = ("xmin", "ymin", "xmax", "ymax")
        corners = [[float(_text(o, f"bndbox/{end}")) for end in ends] for o in objects]
    except (ElementTree.ParseError, ValueError) as error:
        if isinstance(error, LayoutError):
            raise
        raise LayoutError(
            f"{url}: no annotation of VOC ({error}). Expected {VOC_LAYOUT}"
        ) from error
    boxes = np.array(corners, dtype=np.float64).reshape(-1, 4)
    boxes[:, :2] -= 1
    return TrueBoxes(boxes, names)


def load_coco20k(root: str) -> DiscoveryBenchmark:
    """The listed images of COCO's train2014 with objects; crowds are no objects.

    Raises:
        LayoutError: see `load`.
    """
    lines = _lines(root, "coco_20k_filenames.txt", COCO_LAYOUT)
    files = [PurePosixPath(line).name for line in lines]
    annotations = join(root, "annotations", "instances_train2014.json")
    require(root, [annotations], COCO_LAYOUT)
    require(root, (join(root, "train2014", file) for file in files), COCO_LAYOUT)
    try:
        content = read_json(annotations)
        kinds = {entry["id"]: entry["name"] for entry in content["categories"]}
        ids = {entry["file_name"]: entry["id"] for entry in content["images"]}
        objects: dict[int, list[tuple[str, list[float]]]] = {}
        for entry in content["annotations"]:
            if not entry.get("iscrowd"):
                named = kinds[entry["category_id"]], entry["bbox"]
                objects.setdefault(entry["image_id"], []).append(named)
        truths = {file: _coco_boxes(objects.get(ids[file], [])) for file in files}
    except (StorageError, KeyError, TypeError, ValueError) as error:
        raise LayoutError(
            f"{annotations}: no instances of COCO, or an image of the list is not in it "
            f"({error!r}). Expected {COCO_LAYOUT}"
        ) from error
    images = join(root, "train2014")
    return DiscoveryBenchmark(images, {k: t for k, t in truths.items() if t.names}, {})


@task(name="score", task_run_name="score {out}", **STORAGE_RETRIES)
def score(benchmark: DiscoveryBenchmark, out: str, weights: Mapping[str, str]) -> Scores:
    """CorLoc of the best box in ``OUT/boxes.json``, and the Jaccard index where masks exist."""
    names = benchmark.names
    best = best_boxes(out)
    truths = [benchmark.truths[name] for name in names]
    result = corloc([best.get(name) for name in names], truths)
    items = {name: {"corloc": float(hit)} for name, hit in zip(names, result.hits, strict=True)}
    stems = result_stems(names)
    for name in names:
        if name in benchmark.masks:
            mask = join(out, "masks", f"{stems[name]}.png")
            items[name]["jaccard"] = _mask_jaccard(mask, benchmark.masks[name])
    totals = {"corloc": result.overall}
    drawn = [item["jaccard"] for item in items.values() if "jaccard" in item]
    if drawn:
        totals["jaccard"] = float(np.mean(drawn))
    return Scores(
        scores=totals,
        by_category={name: {"corloc": share} for name, share in result.by_class.items()},
        items=items,
        weights=weights,
        notes=(
            "corloc: share of the images whose one box has IoU >= 0.5 with any labelled object, "
            "difficult and truncated ones included",
            "by class: share of the class's images whose box hits an object of that class",
        ),
    )


def best_boxes(out: str) -> dict[str, np.ndarray]:
    """Image name to the first (best) box xyxy of ``OUT/boxes.json``."""
    names = {
        entry["id"]: entry["file_name"] for entry in read_json(join(out, "images.json"))["images"]
    }
    found: dict[str, np.ndarray] = {}
    for entry in read_json(join(out, "boxes.json")):
        left, top, width, height = entry["bbox"]
        box = np.array([left, top, left + width, top + height])
        found.setdefault(names[entry["image_id"]], box)
    return found


def _mask_jaccard(mask: str, truth: str) -> float:
    labels = read_indexed_png(truth)
    known = labels != _VOID
    if not exists(mask):
        return 0.0
    found = read_mask(mask)
    if found.shape != labels.shape:
        raise LayoutError(f"{truth}: is {labels.shape}, its image {found.shape} (rows, columns)")
    return jaccard(found & known, (labels > 0) & known)


def _inside_devkit(root: str) -> str:
    """Root itself, or the one VOC20xx in it or in its VOCdevkit."""
    for folder in (root, join(root, "VOCdevkit")):
        if exists(join(folder, "ImageSets", "Main", "trainval.txt")):
            return folder
        years = [n for n in list_folder(folder, "directory") if re.fullmatch(r"VOC\d{4}", n)]
        if len(years) == 1:
            return join(folder, years[0])
    return root


def _lines(root: str, file: str, expected: str) -> list[str]:
    require(root, [join(root, file)], expected)
    lines = read_bytes(join(root, file)).decode(errors="replace").split("\n")
    found = [line.split()[0] for line in lines if line.strip()]
    if not found:
        raise LayoutError(f"{join(root, file)}: lists no image. Expected {expected}")
    return found


def _text(element: ElementTree.Element, path: str) -> str:
    text = element.findtext(path)
    if text is None:
        raise ValueError(f"an object without {path}")
    return text.strip()


def _coco_boxes(objects: Sequence[tuple[str, list[float]]]) -> TrueBoxes:
    boxes = np.array([box for _, box in objects], dtype=np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return TrueBoxes(boxes, tuple(name for name, _ in objects))
