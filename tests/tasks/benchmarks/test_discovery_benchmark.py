"""VOC and COCO20k on tiny data sets in their official layouts."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storage.results import write_indexed_png, write_json, write_mask
from tasks.benchmarks.discovery import load, load_coco20k, load_voc, read_voc_boxes, score
from tasks.benchmarks.layout import LayoutError

OBJECT = (
    "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin>"
    "<xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)


def write_voc(root: Path, images: dict[str, list[tuple[str, int, int, int, int]]]) -> None:
    for folder in ("ImageSets/Main", "JPEGImages", "Annotations", "SegmentationObject"):
        (root / folder).mkdir(parents=True)
    (root / "ImageSets/Main/trainval.txt").write_text("\n".join(images) + "\n")
    for stem, objects in images.items():
        Image.new("RGB", (20, 20)).save(root / "JPEGImages" / f"{stem}.jpg")
        body = "".join(OBJECT.format(*entry) for entry in objects)
        (root / "Annotations" / f"{stem}.xml").write_text(f"<annotation>{body}</annotation>")


def write_results(out: Path, boxes: dict[str, list[float]]) -> None:
    entries = [{"id": int(n.split(".")[0]), "file_name": n} for n in boxes]
    write_json(str(out / "images.json"), {"images": entries})
    found = [{"image_id": int(n.split(".")[0]), "bbox": b} for n, b in boxes.items() if b]
    write_json(str(out / "boxes.json"), found)


def test_voc_by_hand(tmp_path: Path) -> None:
    root, out = tmp_path / "VOC2007", tmp_path / "out"
    write_voc(
        root,
        {
            "000001": [("cat", 1, 1, 10, 10), ("dog", 11, 11, 20, 20)],
            "000002": [("cat", 1, 1, 10, 10)],
            "000003": [],
        },
    )
    truth = np.zeros((20, 20), np.uint8)
    truth[:10, :10] = 1
    truth[:10, 10:] = 255
    write_indexed_png(str(root / "SegmentationObject/000001.png"), truth)
    mask = np.zeros((20, 20), bool)
    mask[:5] = True  # 50 of the 100 known pixels of the object, the void beside it not counted
    write_mask(str(out / "masks/000001.png"), mask)
    write_results(out, {"000001.jpg": [10, 10, 10, 10], "000002.jpg": [0, 0, 10, 4]})
    chosen = load.fn("voc2007", str(tmp_path))  # the folder around VOC2007 does as well
    assert chosen.names == ("000001.jpg", "000002.jpg")
    np.testing.assert_array_equal(chosen.truths["000001.jpg"].xyxy[0], [0, 0, 10, 10])
    scores = score.fn(chosen, str(out), {"name": "w", "sha256": "0"})
    assert scores.scores == {"corloc": 0.5, "jaccard": 0.5}
    assert scores.by_category == {"cat": {"corloc": 0.0}, "dog": {"corloc": 1.0}}
    assert load.fn("voc2012", str(root)).names == chosen.names  # one layout
    write_mask(str(out / "masks/000001.png"), mask[:, :9])
    with pytest.raises(LayoutError, match=r"000001\.png: is \(20, 20\), its image \(20, 9\)"):
        score.fn(chosen, str(out), {"name": "w", "sha256": "0"})
    (out / "masks/000001.png").unlink()  # an image that could not be used has no mask
    assert score.fn(chosen, str(out), {}).scores["jaccard"] == 0
    assert load.fn("voc2007", str(root), ["dog"]).names == ("000001.jpg",)
    assert load.fn("voc2007", str(root), ["cat"], 1).names == ("000001.jpg",)


def test_coco20k_leaves_crowds_out(tmp_path: Path) -> None:
    (tmp_path / "train2014").mkdir()
    (tmp_path / "annotations").mkdir()
    for file in ("a_1.jpg", "a_2.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / "train2014" / file)
    (tmp_path / "coco_20k_filenames.txt").write_text("train2014/a_1.jpg\ntrain2014/a_2.jpg\n")
    content = {
        "categories": [{"id": 7, "name": "bird"}],
        "images": [{"id": 1, "file_name": "a_1.jpg"}, {"id": 2, "file_name": "a_2.jpg"}],
        "annotations": [
            {"image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4], "iscrowd": 0},
            {"image_id": 2, "category_id": 7, "bbox": [0, 0, 8, 8], "iscrowd": 1},
        ],
    }
    file = tmp_path / "annotations/instances_train2014.json"
    file.write_text(json.dumps(content))
    found = load_coco20k(str(tmp_path))
    assert found.names == ("a_1.jpg",)
    np.testing.assert_array_equal(found.truths["a_1.jpg"].xyxy, [[1, 2, 4, 6]])
    assert load.fn("coco20k", str(tmp_path)).names == ("a_1.jpg",)
    file.write_text(json.dumps(content)[:-9])
    with pytest.raises(LayoutError, match=r"no instances of COCO.*not valid JSON"):
        load_coco20k(str(tmp_path))
    (tmp_path / "train2014/a_2.jpg").rename(tmp_path / "a_2.jpg")
    with pytest.raises(LayoutError, match=r"missing .*train2014/a_2\.jpg"):
        load_coco20k(str(tmp_path))
    (tmp_path / "a_2.jpg").rename(tmp_path / "train2014/a_2.jpg")
    file.write_text(json.dumps(content | {"images": []}))
    with pytest.raises(LayoutError, match=r"an image of the list is not in it \(KeyError"):
        load_coco20k(str(tmp_path))


def test_missing_and_malformed_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"missing .*trainval\.txt\. Expected ImageSets/Main"):
        load_voc(str(tmp_path))
    write_voc(tmp_path, {"000001": [("cat", 1, 1, 10, 10)]})
    annotation = tmp_path / "Annotations/000001.xml"
    annotation.write_text("<annotation><object><name>cat</name></object></annotation>")
    with pytest.raises(LayoutError, match=r"000001\.xml: no annotation of VOC .*bndbox/xmin"):
        read_voc_boxes(str(annotation))
    annotation.write_text("<!DOCTYPE a><annotation/>")
    with pytest.raises(LayoutError, match="holds a document type"):
        read_voc_boxes(str(annotation))
    annotation.unlink()
    with pytest.raises(LayoutError, match=r"missing .*000001\.xml"):
        load_voc(str(tmp_path))
