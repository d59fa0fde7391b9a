"""DAVIS-2017's unsupervised task on a tiny set in its official layout, scored by hand."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storage.errors import StorageError
from storage.results import write_indexed_png
from tasks.benchmarks.davis import gather_scores
from tasks.benchmarks.layout import LayoutError
from tasks.benchmarks.proposals import load, score_sequence

WEIGHTS = {"name": "w", "sha256": "0"}


def block(number: int, left: int, width: int = 4) -> np.ndarray:
    mask = np.zeros((20, 40), np.uint8)
    mask[4:14, left : left + width] = number
    return mask


def write_root(root: Path) -> Path:
    """Two frames of objects 1, 2 and 3, and a void column."""
    (root / "ImageSets" / "2017").mkdir(parents=True)
    (root / "ImageSets" / "2017" / "val.txt").write_text("run\n")
    folder = root / "JPEGImages" / "480p" / "run"
    folder.mkdir(parents=True)
    truth = block(1, 2) + block(2, 12) + block(3, 22) + block(255, 32)
    for index in range(2):
        Image.new("RGB", (40, 20)).save(folder / f"{index:05d}.jpg")
        write_indexed_png(
            str(root / "Annotations_unsupervised/480p/run" / f"{index:05d}.png"), truth
        )
    return root


def test_proposals_are_paired_with_objects_whatever_their_numbers(tmp_path: Path) -> None:
    chosen, out = load.fn(str(write_root(tmp_path / "davis"))), tmp_path / "out"
    # Proposal 9 is object 1, with pixels in the void; 4 is half of object 2 in one frame and
    # nothing in the other; nobody proposes object 3.
    write_indexed_png(str(out / "00000.png"), block(9, 2) + block(9, 32) + block(4, 12, 2))
    write_indexed_png(str(out / "00001.png"), block(9, 2))
    found = score_sequence.fn(chosen, "run", str(out))
    assert found["run/1"] == {"j&f": 1, "j": 1, "f": 1}
    assert found["run/2"]["j"] == pytest.approx((0.5 + 0) / 2)
    assert found["run/3"] == {"j&f": 0, "j": 0, "f": 0}
    scores = gather_scores.fn(chosen, [found], WEIGHTS)
    assert scores.scores["j"] == pytest.approx((1 + 0.25 + 0) / 3)
    assert scores.by_category["run"] == scores.scores
    assert scores.groups["run/2"] == "run"


def test_the_best_sum_wins_over_the_greedy_pair(tmp_path: Path) -> None:
    """Object 1 is more like proposal 1 than 2, but leaves it to object 2, which has no other."""
    root = write_root(tmp_path / "davis")
    truth = block(1, 2) + block(2, 6)
    for index in range(2):
        file = root / "Annotations_unsupervised/480p/run" / f"{index:05d}.png"
        write_indexed_png(str(file), truth)
        # Proposal 1: three columns of object 1, all of object 2; proposal 2: object 1's last.
        mask = block(1, 3, 7) + block(2, 2, 1)
        write_indexed_png(str(tmp_path / "out" / f"{index:05d}.png"), mask)
    found = score_sequence.fn(load.fn(str(root)), "run", str(tmp_path / "out"))
    assert found["run/1"]["j"] == pytest.approx(1 / 4)
    assert found["run/2"]["j"] == pytest.approx(4 / 7)


def test_nothing_found_and_nothing_there(tmp_path: Path) -> None:
    root = write_root(tmp_path / "davis")
    found = score_sequence.fn(load.fn(str(root)), "run", str(tmp_path / "out"))
    assert [v["j"] for v in found.values()] == [0, 0, 0]
    for index in range(2):
        file = root / "Annotations_unsupervised/480p/run" / f"{index:05d}.png"
        write_indexed_png(str(file), block(0, 0))
    assert score_sequence.fn(load.fn(str(root)), "run", str(tmp_path / "out")) == {}


def test_missing_and_malformed_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"missing .*val\.txt\. Expected ImageSets/2017"):
        load.fn(str(tmp_path / "nothing"))
    root = write_root(tmp_path / "davis")
    with pytest.raises(LayoutError, match="no sequence dog; there are: run"):
        load.fn(str(root), ["dog"])
    annotation = root / "Annotations_unsupervised/480p/run/00001.png"
    annotation.write_bytes(b"no picture")
    with pytest.raises(StorageError, match=r"00001\.png: not an image that can be read"):
        score_sequence.fn(load.fn(str(root)), "run", str(tmp_path / "out"))
    annotation.unlink()
    with pytest.raises(LayoutError, match=r"missing .*run/00001\.png"):
        load.fn(str(root))
    for file in (root / "JPEGImages/480p/run").iterdir():
        file.unlink()
    with pytest.raises(LayoutError, match="no frames of run"):
        load.fn(str(root))
