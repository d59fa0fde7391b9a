"""Co-segmentation benchmarks on tiny data sets in their official layouts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storage.errors import StorageError
from storage.results import write_mask
from tasks.benchmarks.coseg import CosegBenchmark, load, score
from tasks.benchmarks.layout import LayoutError

WEIGHTS = {"name": "w", "sha256": "0"}


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 10)).save(path)


def mask(path: Path, columns: int) -> None:
    """Foreground in the first `columns` of 20."""
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = np.zeros((10, 20), bool)
    drawn[:, :columns] = True
    write_mask(str(path), drawn)


def found(name: str, root: Path, **choice: object) -> CosegBenchmark:
    chosen = load.fn(name, str(root), **choice)
    assert isinstance(chosen, CosegBenchmark)
    return chosen


def trees(images: str, truth: str) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        for category in ("bus", "cat"):
            for stem in ("a", "b"):
                picture(root / images / category / f"{stem}.jpg")
                mask(root / truth / category / f"{stem}.png", 10)

    return write


def msrc(root: Path) -> None:
    for category in ("bus", "cat"):
        for stem in ("a", "b"):
            picture(root / "Data" / "MSRC" / category / f"{stem}.bmp")
            mask(root / "Data" / "MSRC" / category / "GroundTruth" / f"{stem}.png", 10)


TREES = [
    ("pascal-coseg", trees("images", "GroundTruth"), "jpg"),
    ("pascal-co", trees("images", "GroundTruth"), "jpg"),
    ("icoseg", trees("dataset_public/images", "dataset_public/ground_truth"), "jpg"),
    ("msrc", msrc, "bmp"),
]


@pytest.mark.parametrize(("name", "write", "ending"), TREES, ids=[t[0] for t in TREES])
def test_scores_by_hand(
    tmp_path: Path, name: str, write: Callable[[Path], None], ending: str
) -> None:
    """Jaccard 5/10 and precision 15/20, then 1 and 1, then 10/20 and 10/20, then nothing found."""
    root, out = tmp_path / "data", tmp_path / "out"
    write(root)
    chosen = found(name, root)
    assert chosen.classes == {c: (f"{c}/a.{ending}", f"{c}/b.{ending}") for c in ("bus", "cat")}
    for category, stem, columns in (("bus", "a", 5), ("bus", "b", 10), ("cat", "a", 20)):
        mask(out / category / "masks" / f"{stem}.png", columns)
    result = score.fn(chosen, str(out), WEIGHTS)
    assert result.by_category["bus"] == {"jaccard": 0.75, "precision": 0.875}
    assert result.by_category["cat"] == {"jaccard": 0.25, "precision": 0.25}
    assert result.scores == {"jaccard": 0.5, "precision": 0.5625}
    assert result.items[f"cat/b.{ending}"] == {"jaccard": 0, "precision": 0}
    assert result.groups[f"bus/a.{ending}"] == "bus"
    assert found(name, root, classes=("cat",), limit=1).names == (f"cat/a.{ending}",)


def internet(root: Path) -> Path:
    for category in ("Airplane100", "Car100", "Horse100"):
        for stem in ("0001", "0002"):
            picture(root / "Data" / category / f"{stem}.jpg")
            mask(root / "Data" / category / "GroundTruth" / f"{stem}.png", 10)
    return root


def test_images_without_the_object_count_for_precision_alone(tmp_path: Path) -> None:
    root, out = internet(tmp_path / "data"), tmp_path / "out"
    picture(root / "Data" / "Airplane" / "0001.jpg")  # the large set beside it is not measured
    mask(root / "Data" / "Car100" / "GroundTruth" / "0002.png", 0)
    chosen = found("internet300", root)
    assert list(chosen.classes) == ["Airplane100", "Car100", "Horse100"]
    for name in chosen.names:
        mask(out / Path(name).parent / "masks" / f"{Path(name).stem}.png", 5)
    result = score.fn(chosen, str(out), WEIGHTS)
    assert result.items["Car100/0002.jpg"] == {"precision": 0.75}
    assert result.by_category["Car100"] == {"jaccard": 0.5, "precision": 0.75}
    assert any("for precision alone" in note for note in result.notes)


@pytest.mark.parametrize("name", ["pascal-coseg", "icoseg", "msrc", "internet300"])
def test_a_folder_that_is_something_else(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "photos" / "a.jpg")
    with pytest.raises(LayoutError, match=r"no class with masks\. Expected .*<stem>\.png"):
        found(name, tmp_path)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    root = internet(tmp_path / "net")
    (root / "Data" / "Horse100" / "GroundTruth" / "0002.png").unlink()
    with pytest.raises(LayoutError, match=r"missing .*Horse100/GroundTruth/0002\.png\. Expected"):
        found("internet300", root)
    (root / "Data" / "Horse100" / "GroundTruth" / "0001.png").unlink()
    with pytest.raises(LayoutError, match=r"no GroundTruth in Horse100\. Expected Data/<Airplane"):
        found("internet300", root)
    trees("images", "GroundTruth")(tmp_path / "voc")
    for stem in ("a", "b"):
        (tmp_path / "voc" / "images" / "bus" / f"{stem}.jpg").unlink()
    with pytest.raises(LayoutError, match=r"no images of bus\. Expected images/<class>"):
        found("pascal-coseg", tmp_path / "voc")
    msrc(tmp_path / "msrc")
    with pytest.raises(LayoutError, match="no class dog; there are: bus, cat"):
        found("msrc", tmp_path / "msrc", classes=("dog",))


def test_a_malformed_mask_and_one_of_another_size_are_named(tmp_path: Path) -> None:
    root, out = tmp_path / "data", tmp_path / "out"
    msrc(root)
    chosen = found("msrc", root, classes=("cat",), limit=1)
    mask(out / "cat" / "masks" / "a.png", 5)
    truth = root / "Data" / "MSRC" / "cat" / "GroundTruth" / "a.png"
    truth.write_bytes(b"no picture")
    with pytest.raises(
        StorageError, match=r"cat/GroundTruth/a\.png: not an image that can be read"
    ):
        score.fn(chosen, str(out), WEIGHTS)
    write_mask(str(truth), np.ones((4, 4), bool))
    with pytest.raises(ValueError, match=r"cat/a\.bmp: .*one size"):
        score.fn(chosen, str(out), WEIGHTS)
