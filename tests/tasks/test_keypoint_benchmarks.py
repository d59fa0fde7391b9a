"""Keypoint benchmarks on tiny data sets in their official layouts, and PCK by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.benchmarks import keypoints
from tasks.benchmarks.keypoints import KeypointBenchmark
from tasks.benchmarks.layout import LayoutError
from tasks.benchmarks.pck_scores import PairErrors, score


def picture(path: Path, width: int = 40, height: int = 30) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(path)


def load(name: str, root: Path, **choice: object) -> KeypointBenchmark:
    found = keypoints.load.fn(name, str(root), **choice)
    assert isinstance(found, KeypointBenchmark)
    return found


def willow(root: Path) -> Path:
    for name in ("a", "b"):
        picture(root / "PF-dataset" / "car(S)" / f"{name}.png")
        picture(root / "PF-dataset" / "duck(S)" / f"{name}.png")
    header = "imageA,imageB,XA1,XA2,YA1,YA2,XB1,XB2,YB1,YB2\n"
    rows = [
        f"PF-dataset/{c}/{p}.png,PF-dataset/{c}/{q}.png,1,11,1,6,3,23,4,9\n"
        for c in ("car(S)", "duck(S)")
        for p, q in ("ab", "ba")
    ]
    (root / "test_pairs.csv").write_text(header + "".join(rows))
    return root


def spair(root: Path) -> Path:
    for name in ("x", "y"):
        picture(root / "JPEGImages" / "cat" / f"{name}.jpg")
    pair = {
        "category": "cat",
        "src_imname": "x.jpg",
        "trg_imname": "y.jpg",
        "src_kps": [[0, 0], [10, 4]],
        "trg_kps": [[2, 3], [12, 9]],
        "trg_bndbox": [0, 5, 30, 20],
    }
    folder = root / "PairAnnotation" / "test"
    folder.mkdir(parents=True)
    (folder / "000001-x-y:cat.json").write_text(json.dumps(pair))
    return root


def test_pf_willow_counts_pixels_from_one(tmp_path: Path) -> None:
    found = load("pf-willow", willow(tmp_path))
    assert [p.category for p in found.pairs] == ["car(S)"] * 2 + ["duck(S)"] * 2
    first = found.pairs[0]
    assert first.source == "PF-dataset/car(S)/a.png"
    assert first.source_xy == ((0.5, 0.5), (10.5, 5.5))
    assert first.target_xy == ((2.5, 3.5), (22.5, 8.5))
    assert first.basis == 20
    assert len(found.names) == 4


def test_classes_and_limit_choose(tmp_path: Path) -> None:
    root = willow(tmp_path)
    assert len(load("pf-willow", root, limit=1).pairs) == 2
    chosen = load("pf-willow", root, classes=("duck(S)",))
    assert {p.category for p in chosen.pairs} == {"duck(S)"}
    with pytest.raises(LayoutError, match=r"no class dog; there are: car\(S\), duck\(S\)"):
        load("pf-willow", root, classes=("dog",))


def test_spair_counts_pixels_from_zero_and_takes_the_objects_box(tmp_path: Path) -> None:
    (pair,) = load("spair71k", spair(tmp_path)).pairs
    assert pair.source_xy == ((0.5, 0.5), (10.5, 4.5))
    assert pair.basis == 30


@pytest.mark.parametrize("table", ["test_pairs_pf_pascal.csv", "image_pairs/test_pairs.csv"])
def test_pf_pascal_names_classes_and_takes_the_image(tmp_path: Path, table: str) -> None:
    for name in ("p", "q"):
        picture(tmp_path / "PF-dataset-PASCAL" / "JPEGImages" / f"{name}.jpg")
    (tmp_path / table).parent.mkdir(exist_ok=True)
    head = "source_image,target_image,class,XA,YA,XB,YB\n"
    images = "PF-dataset-PASCAL/JPEGImages/p.jpg,PF-dataset-PASCAL/JPEGImages/q.jpg,8,"
    (tmp_path / table).write_text(f"{head}{images}1;5,2;6,3;7,4;8\n")
    (pair,) = load("pf-pascal", tmp_path).pairs
    assert (pair.category, pair.basis) == ("cat", None)
    assert pair.source_xy == ((0.5, 1.5), (4.5, 5.5))
    assert pair.target_xy == ((2.5, 3.5), (6.5, 7.5))
    for broken in ("1;5,2,3;7,4;8", "1;x,2;6,3;7,4;8"):
        (tmp_path / table).write_text(f"{head}{images}{broken}\n")
        with pytest.raises(LayoutError, match="annotation of pf-pascal is malformed"):
            load("pf-pascal", tmp_path)


def test_ap10k_pairs_lone_animals_of_a_species(tmp_path: Path) -> None:
    for name in ("1.jpg", "2.jpg", "3.jpg"):
        picture(tmp_path / "data" / name)
    seen = [[5, 6, 2], [7, 8, 2], [9, 9, 1], [0, 0, 0]]
    other = [[1, 1, 2], [2, 2, 2], [3, 3, 2], [4, 4, 2]]
    animal = {"category_id": 7, "bbox": [2, 3, 10, 20]}
    content = {
        "categories": [{"id": 7, "name": "fox"}],
        "images": [{"id": i, "file_name": f"{i}.jpg"} for i in (1, 2, 3)],
        "annotations": [
            {**animal, "image_id": 1, "keypoints": np.ravel(seen).tolist()},
            {**animal, "image_id": 2, "keypoints": np.ravel(other).tolist()},
            {**animal, "image_id": 3, "keypoints": np.ravel(other).tolist()},
            {**animal, "image_id": 3, "keypoints": np.ravel(other).tolist()},
        ],
    }
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "ap10k-test-split1.json").write_text(json.dumps(content))
    (pair,) = load("ap-10k", tmp_path).pairs
    assert (pair.category, pair.source, pair.basis) == ("fox", "data/1.jpg", 20)
    assert pair.source_xy == ((5.5, 6.5), (7.5, 8.5), (9.5, 9.5))
    assert pair.target_xy == ((1.5, 1.5), (2.5, 2.5), (3.5, 3.5))
    (tmp_path / "data" / "2.jpg").unlink()
    with pytest.raises(LayoutError, match=r"missing .*data/2.jpg. Expected annotations/ap10k"):
        load("ap-10k", tmp_path)
    file = tmp_path / "annotations" / "ap10k-test-split1.json"
    file.write_text(json.dumps(content | {"annotations": [animal]}))
    with pytest.raises(LayoutError, match="annotation of ap-10k is malformed"):
        load("ap-10k", tmp_path)
    file.unlink()
    with pytest.raises(LayoutError, match=r"ap10k-test-split1.json is missing"):
        load("ap-10k", tmp_path)


def test_a_missing_image_a_missing_table_and_a_malformed_one_are_named(tmp_path: Path) -> None:
    root = willow(tmp_path / "one")
    (root / "PF-dataset" / "duck(S)" / "b.png").unlink()
    with pytest.raises(LayoutError, match=r"missing .*duck\(S\)/b.png. Expected test_pairs.csv"):
        load("pf-willow", root)
    with pytest.raises(
        LayoutError, match=r"test_pairs.csv is missing. Expected test_pairs.csv and"
    ):
        load("pf-willow", tmp_path / "nothing")
    text = (root / "test_pairs.csv").read_text()
    (root / "test_pairs.csv").write_text(text + "x/a.png,x/b.png,1\n")
    with pytest.raises(LayoutError, match=r"malformed, that after pair 4 \(TypeError"):
        load("pf-willow", root)
    (root / "test_pairs.csv").write_text("imageA,imageB,XA1\nx/a.png,x/b.png,1\n")
    with pytest.raises(LayoutError, match="annotation of pf-willow is malformed"):
        load("pf-willow", root)
    header = "imageA,imageB,XA1,XA2,YA1,YA2,XB1,XB2,YB1,YB2\n"
    row = "x/a.png,x/b.png,1,2,3,4,{},6,7,{}\n"
    for cells, message in (
        (("nan", "8"), "pair 0000 has no keypoints, or some that are no numbers"),
        (("6", "7"), "basis of pair 0000 is 0 pixels"),
    ):
        (root / "test_pairs.csv").write_text(header + row.format(*cells))
        with pytest.raises(LayoutError, match=message):
            load("pf-willow", root)
    (root / "test_pairs.csv").write_text("imageA,imageB\n" + "x" * 200_000)
    with pytest.raises(LayoutError, match=r"malformed, that after pair 0 \(Error: field"):
        load("pf-willow", root)
    root = spair(tmp_path / "two")
    (root / "PairAnnotation" / "test" / "bad.json").write_text('{"category": ')
    with pytest.raises(LayoutError, match="annotation of spair71k is malformed"):
        load("spair71k", root)


def test_scores_by_hand() -> None:
    found = [
        PairErrors("0", "car", (0.04, 0.2)),
        PairErrors("1", "car", (0.06,)),
        PairErrors("2", "duck", (0.005, 0.5, 0.5)),
    ]
    scores = score.fn(KeypointBenchmark("", (), "a box"), found, {"name": "w", "sha256": "0"})
    assert scores.scores["pck@0.10"] == pytest.approx(3 / 6)
    assert scores.scores["pck@0.05"] == pytest.approx(2 / 6)
    assert scores.scores["pck@0.10 by image"] == pytest.approx((1 / 2 + 1 + 1 / 3) / 3)
    assert scores.by_category["car"]["pck@0.10"] == pytest.approx(2 / 3)
    assert scores.scores["pck@0.10 mean over categories"] == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert scores.items["duck 2"]["pck@0.01"] == pytest.approx(1 / 3)
    assert "threshold basis: a box" in scores.notes
