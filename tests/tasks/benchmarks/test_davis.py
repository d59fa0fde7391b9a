"""DAVIS on a tiny set in the official layout, scored by hand."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storage.results import write_indexed_png
from tasks.benchmarks import davis
from tasks.benchmarks.layout import LayoutError

WEIGHTS = {"name": "random", "sha256": "0"}


def block(number: int, left: int, width: int = 4) -> np.ndarray:
    mask = np.zeros((20, 40), np.uint8)
    mask[4:14, left : left + width] = number
    return mask


def write_root(root: Path, year: int, frames: int = 5) -> None:
    """One sequence "run": object 1 at column 2, object 2 at column 20, void right of it."""
    (root / "ImageSets" / str(year)).mkdir(parents=True)
    (root / "ImageSets" / str(year) / "val.txt").write_text("run\n")
    folder = root / "JPEGImages" / "480p" / "run"
    folder.mkdir(parents=True)
    for index in range(frames):
        Image.new("RGB", (40, 20)).save(folder / f"{index:05d}.jpg")
        truth = block(1, 2) + block(2, 20)
        if year != 2016:
            truth += block(255, 30)
        write_indexed_png(str(root / "Annotations/480p/run" / f"{index:05d}.png"), truth)


def test_objects_frames_and_void_by_hand(tmp_path: Path) -> None:
    write_root(tmp_path / "davis", 2017)
    chosen = davis.load.fn(str(tmp_path / "davis"), 2017)
    assert chosen.frames == {"run": tuple(f"{i:05d}" for i in range(5))}
    # Object 1 right in frame 1, half covered in 2, missing in 3; frames 0 and 4 do not count.
    # Object 2 always right, with pixels in the void that must not hurt.
    second = block(2, 20) + block(2, 30)
    masks = [block(0, 0), block(1, 2) + second, block(1, 2, 2) + second, second, block(0, 0)]
    for index, mask in enumerate(masks):
        if index != 0:
            write_indexed_png(str(tmp_path / "out" / f"{index:05d}.png"), mask)
    scores = davis.score_sequence.fn(chosen, "run", str(tmp_path / "out"))
    assert set(scores) == {"run/1", "run/2"}
    assert scores["run/1"]["j"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert scores["run/1"]["j_recall"] == pytest.approx(1 / 3)
    assert scores["run/2"]["j"] == scores["run/2"]["j&f"] == 1
    gathered = davis.gather_scores.fn(chosen, [scores], WEIGHTS)
    assert gathered.scores["j"] == pytest.approx((0.5 + 1) / 2)
    assert gathered.by_category["run"]["j"] == pytest.approx(0.75)


def test_2016_knows_one_object(tmp_path: Path) -> None:
    write_root(tmp_path / "davis", 2016, frames=4)
    chosen = davis.load.fn(str(tmp_path / "davis"), 2016, limit=3)
    assert chosen.frames == {"run": ("00000", "00001", "00002")}
    # Half of all object pixels: those of object 1, under another number.
    write_indexed_png(str(tmp_path / "out" / "00001.png"), block(7, 2))
    scores = davis.score_sequence.fn(chosen, "run", str(tmp_path / "out"))
    assert scores["run"]["j"] == 0.5
    assert scores["run"]["j_decay"] == 0


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    root = tmp_path / "davis"
    write_root(root, 2017)
    with pytest.raises(LayoutError, match=r"missing .*ImageSets/2016/val\.txt"):
        davis.load.fn(str(root), 2016)
    with pytest.raises(LayoutError, match="no sequence walk; there are: run"):
        davis.load.fn(str(root), 2017, ("walk",))
    (root / "Annotations/480p/run/00003.png").unlink()
    with pytest.raises(LayoutError, match=r"missing .*run/00003\.png"):
        davis.load.fn(str(root), 2017)
    with pytest.raises(LayoutError, match="fewer than 3 frames in run"):
        davis.load.fn(str(root), 2017, limit=2)
