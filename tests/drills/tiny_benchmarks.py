"""The smallest data sets that `patchflow evaluate` takes, in their official layouts."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from random_photos import write_photo

from storage.results import write_indexed_png

_SIZE = (64, 48)


def _mask(path: Path, width: int = _SIZE[0]) -> None:
    labels = np.zeros((_SIZE[1], width), np.uint8)
    labels[12:36, 16:44] = 1
    write_indexed_png(str(path), labels)


def pascal_coseg(root: Path) -> None:
    """One class of two images."""
    for seed, stem in enumerate("ab"):
        write_photo(root / "images" / "cat" / f"{stem}.jpg", seed, *_SIZE)
        _mask(root / "GroundTruth" / "cat" / f"{stem}.png")


def pf_willow(root: Path, pairs: int = 1) -> None:
    """Pairs of one class, each of images of its own."""
    rows = ["imageA,imageB,XA1,XA2,YA1,YA2,XB1,XB2,YB1,YB2"]
    for number in range(pairs):
        names = [f"PF-dataset/car(S)/{number}{side}.png" for side in "ab"]
        for seed, name in enumerate(names):
            write_photo(root / name, 2 * number + seed, *_SIZE)
        rows.append(f"{names[0]},{names[1]},10,40,10,30,12,42,14,30")
    (root / "test_pairs.csv").write_text("\n".join(rows) + "\n")


def pf_pascal(root: Path) -> None:
    """One pair."""
    names = [f"PF-dataset-PASCAL/JPEGImages/{stem}.jpg" for stem in "ab"]
    for seed, name in enumerate(names):
        write_photo(root / name, seed, *_SIZE)
    (root / "test_pairs_pf_pascal.csv").write_text(
        "source_image,target_image,class,XA,YA,XB,YB\n"
        f"{names[0]},{names[1]},8,10;40,10;30,12;42,14;30\n"
    )


def spair71k(root: Path) -> None:
    """One pair."""
    for seed, stem in enumerate("ab"):
        write_photo(root / "JPEGImages" / "cat" / f"{stem}.jpg", seed, *_SIZE)
    pair = {
        "category": "cat", "src_imname": "a.jpg", "trg_imname": "b.jpg",
        "src_kps": [[10, 10], [40, 30]], "trg_kps": [[12, 14], [42, 30]],
        "trg_bndbox": [5, 5, 60, 40],
    }  # fmt: skip
    folder = root / "PairAnnotation" / "test"
    folder.mkdir(parents=True)
    (folder / "000001-a-b:cat.json").write_text(json.dumps(pair))


def davis(root: Path, year: int = 2017, frames: int = 3) -> None:
    """One sequence of one object, in square frames: fewer patches at a given short side."""
    (root / "ImageSets" / str(year)).mkdir(parents=True)
    (root / "ImageSets" / str(year) / "val.txt").write_text("run\n")
    for index in range(frames):
        write_photo(root / "JPEGImages" / "480p" / "run" / f"{index:05d}.jpg", index, 48, 48)
        _mask(root / "Annotations" / "480p" / "run" / f"{index:05d}.png", 48)


def davis_unsupervised(root: Path) -> None:
    """The same with the annotations of the task without masks."""
    davis(root)
    (root / "Annotations").rename(root / "Annotations_unsupervised")


def cub(root: Path) -> None:
    """Four birds of one class, two to learn from and two to test; beak and tail."""
    (root / "parts").mkdir(parents=True)
    (root / "classes.txt").write_text("1 001.Wren\n")
    (root / "parts" / "parts.txt").write_text("1 beak\n2 tail\n")
    for number in range(1, 5):
        name = f"001.Wren/{number}.jpg"
        write_photo(root / "images" / name, number, *_SIZE)
        for file, text in (
            ("images", name),
            ("image_class_labels", "1"),
            ("train_test_split", number % 2),
            ("bounding_boxes", "4.0 4.0 56.0 40.0"),
            ("parts/part_locs", f"1 {20 + number}.0 20.0 1\n{number} 2 40.0 30.0 1"),
        ):
            with (root / f"{file}.txt").open("a") as lines:
                lines.write(f"{number} {text}\n")


def voc(root: Path) -> None:
    """One image."""
    for folder in ("ImageSets/Main", "Annotations"):
        (root / folder).mkdir(parents=True)
    (root / "ImageSets" / "Main" / "trainval.txt").write_text("000001\n")
    write_photo(root / "JPEGImages" / "000001.jpg", 0, *_SIZE)
    (root / "Annotations" / "000001.xml").write_text(
        "<annotation><object><name>cat</name><bndbox><xmin>17</xmin><ymin>13</ymin>"
        "<xmax>48</xmax><ymax>36</ymax></bndbox></object></annotation>"
    )


def coco20k(root: Path) -> None:
    """One image."""
    (root / "annotations").mkdir(parents=True)
    write_photo(root / "train2014" / "a.jpg", 0, *_SIZE)
    (root / "coco_20k_filenames.txt").write_text("train2014/a.jpg\n")
    content = {
        "categories": [{"id": 1, "name": "cat"}],
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [16, 12, 32, 24], "iscrowd": 0}],
    }
    (root / "annotations" / "instances_train2014.json").write_text(json.dumps(content))


def d_re10k(root: Path) -> None:
    """One scene of two frames."""
    test = root / "test"
    for folder in ("metadata", "binary_masks/room"):
        (test / folder).mkdir(parents=True)
    (test / "dre10k_final_context_2.txt").write_text("dynamic_re10k/test/metadata/room.json\n")
    frames = []
    for index in range(2):
        write_photo(test / "images" / "room" / f"{index:05d}.png", index, *_SIZE)
        np.save(test / "binary_masks" / "room" / f"{index:05d}.npy", np.eye(16, dtype=np.uint8))
        frames.append({"image_path": f"../images/room/{index:05d}.png"})
    (test / "metadata" / "room.json").write_text(json.dumps({"frames": frames}))


WRITERS: dict[str, Callable[[Path], None]] = {
    "pascal-coseg": pascal_coseg,
    "pf-willow": pf_willow,
    "pf-pascal": pf_pascal,
    "spair71k": spair71k,
    "davis2017": davis,
    "voc2007": voc,
    "coco20k": coco20k,
    "d-re10k": d_re10k,
}
