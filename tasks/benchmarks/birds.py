"""CUB-200-2011 (Wah et al. 2011): are unsupervised parts the birds' landmarks?

As unpacked (or the folder that holds CUB_200_2011)::

    ROOT/images.txt  image_class_labels.txt  classes.txt  train_test_split.txt
    ROOT/bounding_boxes.txt  parts/parts.txt  parts/part_locs.txt   images/<class>/<file>

Scores, over the test images: NMI and ARI of the 15 landmarks and the parts that they lie in
(Choudhury et al. 2021; background is a part of its own), and the error of landmarks regressed
from the parts' centres on the training images, in units of the bounding box (SCOPS, Hung et al.
2019), which is better the lower it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from prefect import task

from storage.files import exists, join, read_bytes
from storage.results import read_indexed_png
from tasks.benchmarks.layout import LayoutError, choose, require
from tasks.faults import STORAGE_RETRIES
from tasks.ops.landmarks import part_agreement_of, part_centres, regress_landmarks
from tasks.scores import Scores
from tasks.sets import ImageSet

LAYOUT = (
    "images.txt, image_class_labels.txt, classes.txt, train_test_split.txt, bounding_boxes.txt, "
    "parts/parts.txt, parts/part_locs.txt and images/<class>/<file>"
)
_LISTS = LAYOUT.partition(" and ")[0].split(", ")


@dataclass(frozen=True, slots=True)
class Bird:
    """One image. box: left, top, width, height. landmarks: (x, y) by number, those seen."""

    name: str
    category: str
    train: bool
    box: tuple[float, float, float, float]
    landmarks: Mapping[int, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class BirdBenchmark:
    """What is evaluated. images: the folder of the pictures. landmarks: their names."""

    images: str
    birds: tuple[Bird, ...]
    landmarks: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All images, as the extraction of `images` names them."""
        return tuple(bird.name for bird in self.birds)


@task(name="load-benchmark", task_run_name="CUB in {root}", **STORAGE_RETRIES)
def load(root: str, classes: Sequence[str] = (), limit: int | None = None) -> BirdBenchmark:
    """Check the layout and choose `classes` and the first `limit` images of each.

    Raises:
        LayoutError: files that are missing or malformed, unknown classes, or no test image.
    """
    inner = join(root, "CUB_200_2011")
    root = inner if exists(join(inner, "images.txt")) else root
    require(root, (join(root, file) for file in _LISTS), LAYOUT)
    categories = {row[0]: row[1] for row in _rows(root, "classes.txt", 2)}
    chosen = set(choose(sorted(categories.values()), classes, "class"))
    labels = {
        image: categories.get(c, "?") for image, c in _rows(root, "image_class_labels.txt", 2)
    }
    train = {image: flag == "1" for image, flag in _rows(root, "train_test_split.txt", 2)}
    boxes = {
        row[0]: _numbers(row[1:], "bounding_boxes.txt")
        for row in _rows(root, "bounding_boxes.txt", 5)
    }
    seen: dict[str, dict[int, tuple[float, float]]] = {}
    landmarks = [" ".join(row[1:]) for row in _rows(root, "parts/parts.txt")]
    for image, part, x, y, visible in _rows(root, "parts/part_locs.txt", 5):
        if visible == "1":
            number, *at = _numbers((part, x, y), "parts/part_locs.txt")
            if number not in range(1, len(landmarks) + 1):
                raise LayoutError(f"{root}: parts/part_locs.txt: no part {part} in parts/parts.txt")
            seen.setdefault(image, {})[int(number) - 1] = (at[0], at[1])
    kept: dict[str, list[Bird]] = {name: [] for name in sorted(chosen)}
    for image, name in _rows(root, "images.txt", 2):
        try:
            category, box, flag = labels[image], boxes[image], train[image]
        except KeyError as error:
            raise LayoutError(
                f"{root}: image {image} ({name}) is not in every list. Expected {LAYOUT}"
            ) from error
        if category in kept and len(kept[category]) < (limit or 10**9):
            left, top, width, height = box
            if width <= 0 or height <= 0:
                raise LayoutError(f"{root}: bounding_boxes.txt: the box of image {image} is empty")
            bird = Bird(name, category, flag, (left, top, width, height), seen.get(image, {}))
            kept[category].append(bird)
    found = BirdBenchmark(
        join(root, "images"),
        tuple(bird for birds in kept.values() for bird in birds),
        tuple(landmarks),
    )
    require(root, (join(found.images, name) for name in found.names), LAYOUT)
    if not any(bird.landmarks and not bird.train for bird in found.birds):
        raise LayoutError(f"{root}: no test image with landmarks among those chosen; raise --limit")
    return found


@task(name="score", task_run_name="score {out}", **STORAGE_RETRIES)
def score(
    benchmark: BirdBenchmark, images: ImageSet, out: str, parts: int, weights: Mapping[str, str]
) -> Scores:
    """Read ``OUT/<set>/parts`` at the landmarks; birds without parts count as background.

    Args:
        images: the one set of all birds. parts: how many there are at most.
    """
    read = _read(benchmark, images, out, parts)
    categories = np.array([bird.category for bird in benchmark.birds])
    items = {
        bird.name: {"in a part": float((read.parts[i][read.tested[i]] > 0).mean()), **read.error(i)}
        for i, bird in enumerate(benchmark.birds)
        if read.tested[i].any()
    }
    scored = sorted({name.partition("/")[0] for name in items})
    return Scores(
        scores=_summary(read, np.ones(len(categories), dtype=bool)),
        by_category={c: _summary(read, categories == c) for c in scored},
        items=items,
        weights=weights,
        notes=(
            "nmi, ari: landmarks of the test images and the parts they lie in; background is one",
            "landmark_error: distance of regressed landmarks, in units of the bounding box's "
            "sides; lower is better",
        ),
        groups={name: name.partition("/")[0] for name in items},
        sizes={
            bird.name: int(read.tested[i].sum())
            for i, bird in enumerate(benchmark.birds)
            if bird.name in items
        },
    )


@dataclass(frozen=True, slots=True)
class _Read:
    """n birds with L landmarks. tested: (n, L) bool, seen in a test image. parts: (n, L) int,
    the part each lies in. errors: (n, L) float64, NaN where nothing was located.
    """

    tested: np.ndarray
    parts: np.ndarray
    errors: np.ndarray

    def error(self, birds: int | np.ndarray) -> dict[str, float]:
        """Mean error of the landmarks of `birds`, where any was located."""
        chosen = self.errors[birds][self.tested[birds]]
        known = chosen[~np.isnan(chosen)]
        return {"landmark_error": float(known.mean())} if known.size else {}


def _read(benchmark: BirdBenchmark, images: ImageSet, out: str, parts: int) -> _Read:
    stems = images.stems
    birds, count = benchmark.birds, len(benchmark.landmarks)
    points = np.full((len(birds), count, 2), np.nan)
    centres = np.full((len(birds), parts, 2), np.nan)
    lies_in = np.zeros((len(birds), count), dtype=int)
    for i, bird in enumerate(birds):
        url = join(out, images.name, "parts", f"{stems.get(bird.name, '')}.png")
        labels = read_indexed_png(url) if exists(url) else np.zeros((1, 1), np.uint8)
        centres[i] = part_centres(labels, parts, bird.box)
        left, top, width, height = bird.box
        for landmark, (x, y) in bird.landmarks.items():
            row = min(max(int(y), 0), labels.shape[0] - 1)
            col = min(max(int(x), 0), labels.shape[1] - 1)
            lies_in[i, landmark] = labels[row, col]
            points[i, landmark] = (x - left) / width, (y - top) / height
    train = np.array([bird.train for bird in birds])
    errors = np.full((len(birds), count), np.nan)
    if train.any():
        located = regress_landmarks(centres[train], points[train], centres[~train])
        errors[~train] = np.linalg.norm(located - points[~train], axis=-1)
    return _Read(~np.isnan(points[..., 0]) & ~train[:, None], lies_in, errors)


def _summary(read: _Read, among: np.ndarray) -> dict[str, float]:
    chosen = read.tested & among[:, None]
    kinds = np.broadcast_to(np.arange(chosen.shape[1]), chosen.shape)
    agreement = part_agreement_of(kinds[chosen], read.parts[chosen])
    return {"nmi": agreement.nmi, "ari": agreement.ari, **read.error(among)}


def _rows(root: str, file: str, columns: int | None = None) -> Iterator[list[str]]:
    """Words of each line; `columns` of them, where it is given.

    Raises:
        LayoutError: another number of words, with the line.
    """
    for number, line in enumerate(read_bytes(join(root, file)).decode().splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        if columns is not None and len(words) != columns:
            raise LayoutError(
                f"{root}: {file}, line {number}: expected {columns} columns, got {line[:60]!r}. "
                f"Expected {LAYOUT}"
            )
        yield words


def _numbers(words: Sequence[str], file: str) -> list[float]:
    try:
        return [float(word) for word in words]
    except ValueError as error:
        raise LayoutError(f"{file}: expected numbers, got {' '.join(words)!r}") from error
