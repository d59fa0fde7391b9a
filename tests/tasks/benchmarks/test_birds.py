"""CUB-200-2011 on a tiny data set in its official layout, scored by hand."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storage.results import write_indexed_png
from tasks.benchmarks.birds import BirdBenchmark, load, score
from tasks.benchmarks.layout import LayoutError
from tasks.sets import ImageSet

WEIGHTS = {"name": "w", "sha256": "0"}
# Number, class, train?, and (x, y) of beak and tail; the third's tail is hidden.
BIRDS = [
    (1, 1, 1, (4, 4), (16, 4)),
    (2, 1, 1, (4, 12), (16, 12)),
    (3, 1, 0, (4, 8), None),
    (4, 2, 0, (6, 6), (18, 6)),
]
CLASSES = {1: "001.Albatross", 2: "002.Wren"}


def write_cub(root: Path) -> Path:
    (root / "parts").mkdir(parents=True)
    lines: dict[str, list[str]] = {"classes.txt": [f"{n} {name}" for n, name in CLASSES.items()]}
    for number, category, train, beak, tail in BIRDS:
        name = f"{CLASSES[category]}/bird_{number}.jpg"
        path = root / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 16)).save(path)
        lines.setdefault("images.txt", []).append(f"{number} {name}")
        lines.setdefault("image_class_labels.txt", []).append(f"{number} {category}")
        lines.setdefault("train_test_split.txt", []).append(f"{number} {train}")
        lines.setdefault("bounding_boxes.txt", []).append(f"{number} 0.0 0.0 20.0 16.0")
        for part, at in enumerate((beak, tail), start=1):
            x, y = at or (0, 0)
            lines.setdefault("parts/part_locs.txt", []).append(
                f"{number} {part} {x}.0 {y}.0 {int(at is not None)}"
            )
    lines["parts/parts.txt"] = ["1 beak", "2 left tail"]
    for file, content in lines.items():
        (root / file).write_text("\n".join(content) + "\n")
    return root


def found(root: Path, **choice: object) -> BirdBenchmark:
    chosen = load.fn(str(root), **choice)
    assert isinstance(chosen, BirdBenchmark)
    return chosen


def parts_of(out: Path, number: int, boxes: dict[int, tuple[int, int, int, int]]) -> None:
    labels = np.zeros((16, 20), np.uint8)
    for part, (left, top, right, bottom) in boxes.items():
        labels[top:bottom, left:right] = part
    write_indexed_png(str(out / "birds" / "parts" / f"bird_{number}.png"), labels)


def test_the_layout_is_read(tmp_path: Path) -> None:
    write_cub(tmp_path / "CUB_200_2011")
    chosen = found(tmp_path)  # the folder around it does as well
    assert chosen.landmarks == ("beak", "left tail")
    assert [b.train for b in chosen.birds] == [True, True, False, False]
    assert chosen.birds[2].landmarks == {0: (4, 8)}
    assert chosen.birds[3].box == (0, 0, 20, 16)
    assert found(tmp_path, classes=("002.Wren",)).names == ("002.Wren/bird_4.jpg",)
    with pytest.raises(LayoutError, match="no test image with landmarks among those chosen"):
        found(tmp_path, limit=1, classes=("001.Albatross",))


def test_scores_by_hand(tmp_path: Path) -> None:
    """Parts 1 and 2 cover beak and tail, but bird 4 has one part at its tail and none at its beak.

    The regression learns landmark = centre of its part exactly (two birds, all on one line).
    """
    chosen = found(write_cub(tmp_path / "cub"))
    out = tmp_path / "out"
    for number, row in ((1, 4), (2, 12), (3, 8)):
        parts_of(out, number, {1: (3, row - 1, 5, row + 1), 2: (15, row - 1, 17, row + 1)})
    parts_of(out, 4, {2: (17, 5, 19, 7)})
    birds = ImageSet("birds", tuple(sorted(chosen.names)))
    result = score.fn(chosen, birds, str(out), 2, WEIGHTS)
    # Test points: bird 3's beak in part 1; bird 4's beak in the background, its tail in part 2.
    assert result.items["001.Albatross/bird_3.jpg"]["in a part"] == 1
    assert result.items["002.Wren/bird_4.jpg"]["in a part"] == 0.5
    # Landmarks {beak, beak}, {tail} against parts {1}, {0}, {2}: the mutual information is the
    # landmarks' entropy, over the mean of H(2/3, 1/3) and ln 3; no pair agrees.
    entropy = -(2 / 3 * np.log(2 / 3) + 1 / 3 * np.log(1 / 3))
    assert result.scores["nmi"] == pytest.approx(entropy / ((entropy + np.log(3)) / 2))
    assert result.scores["ari"] == pytest.approx(0)
    assert result.by_category["001.Albatross"]["nmi"] == 1
    # Bird 3 lies between the training birds: its beak is found where it is.
    error = result.items["001.Albatross/bird_3.jpg"]["landmark_error"]
    assert error == pytest.approx(0, abs=1e-9)
    assert result.sizes == {"001.Albatross/bird_3.jpg": 1, "002.Wren/bird_4.jpg": 2}
    pooled = (1 * error + 2 * result.items["002.Wren/bird_4.jpg"]["landmark_error"]) / 3
    assert result.scores["landmark_error"] == pytest.approx(pooled)
    assert pooled > 0


def test_birds_without_parts_lie_in_the_background(tmp_path: Path) -> None:
    chosen = found(write_cub(tmp_path / "cub"))
    birds = ImageSet("birds", ())
    result = score.fn(chosen, birds, str(tmp_path / "out"), 2, WEIGHTS)
    assert result.scores["nmi"] == 0
    assert all(item["in a part"] == 0 for item in result.items.values())


def test_missing_and_malformed_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"missing .*images\.txt.*Expected images\.txt, image_cl"):
        found(tmp_path / "nothing")
    root = write_cub(tmp_path / "cub")
    boxes = root / "bounding_boxes.txt"
    good = boxes.read_text()
    boxes.write_text(good.replace("1 0.0 0.0", "1 0.0"))
    with pytest.raises(LayoutError, match=r"bounding_boxes\.txt, line 1: expected 5 columns, got"):
        found(root)
    boxes.write_text(good.replace("1 0.0 0.0", "1 left 0.0"))
    with pytest.raises(LayoutError, match=r"bounding_boxes\.txt: expected numbers, got 'left 0\.0"):
        found(root)
    boxes.write_text(good.replace("1 0.0 0.0 20.0", "1 0.0 0.0 0.0"))
    with pytest.raises(LayoutError, match=r"bounding_boxes\.txt: the box of image 1 is empty"):
        found(root)
    locations = root / "parts" / "part_locs.txt"
    seen = locations.read_text()
    for part in ("3", "0", "1.5"):
        locations.write_text(seen.replace("1 1 4.0", f"1 {part} 4.0"))
        with pytest.raises(LayoutError, match=f"part_locs.txt: no part {part} in parts/parts.txt"):
            found(root)
    locations.write_text(seen)
    boxes.write_text("\n".join(good.splitlines()[1:]))
    with pytest.raises(
        LayoutError, match=r"image 1 \(001\.Albatross/bird_1\.jpg\) is not in every"
    ):
        found(root)
    boxes.write_text(good)
    (root / "images" / "002.Wren" / "bird_4.jpg").unlink()
    with pytest.raises(LayoutError, match=r"missing .*bird_4\.jpg"):
        found(root)
