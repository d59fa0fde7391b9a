"""Parts measured at keypoints: drawn label maps, counted by hand."""

from pathlib import Path

import numpy as np
import pytest

from storage.results import write_indexed_png
from tasks.benchmarks.keypoints import KeypointBenchmark, KeypointPair, Point
from tasks.benchmarks.parts import score_parts
from tasks.ops.draw import palette
from tasks.sets import ImageSet

WEIGHTS = {"name": "w", "sha256": "0"}


def pair(source_xy: tuple[Point, ...], target_xy: tuple[Point, ...]) -> KeypointPair:
    return KeypointPair("0", "car", "set/car/a.png", "set/car/b.png", source_xy, target_xy, None)


def test_keypoints_are_read_in_pixels_and_parts_are_counted(tmp_path: Path) -> None:
    left, right = np.zeros((4, 6), np.uint8), np.zeros((4, 6), np.uint8)
    left[:2, :3], left[2:, :3] = 1, 2
    right[:, 3:], right[0, 3] = 1, 2
    for stem, labels in (("a", left), ("b", right)):
        write_indexed_png(str(tmp_path / f"set/car/parts/{stem}.png"), labels, palette(4))
    # a: part 1 at its last pixel, part 2, background, beyond the border; b: 1, 1, 1, 2.
    pairs = (
        pair(
            ((2.99, 1.99), (0.0, 3.5), (3.0, 0.5), (-3.0, 9.0)),
            ((5.5, 3.5), (3.5, 1.5), (4.5, 0.5), (3.2, 0.2)),
        ),
    )
    sets = [ImageSet("set/car", ("set/car/a.png", "set/car/b.png"))]
    chosen = KeypointBenchmark("root", pairs, "")
    scores = score_parts.fn(chosen, sets, str(tmp_path), 3, WEIGHTS)
    found = scores.by_category["car"]
    assert [scores.items[f"car/keypoint {n}"]["agreement"] for n in (1, 2, 3, 4)] == [
        1.0,
        0.5,
        0.5,
        1.0,
    ]
    assert found["agreement"] == scores.scores["agreement"] == 0.75
    assert found["in a part"] == 7 / 8
    # 17 pixels of part 1, 7 of part 2, none of the third part that was asked for.
    assert found["smallest part"] == 0
    two = score_parts.fn(chosen, sets, str(tmp_path), 2, WEIGHTS)
    assert two.scores["smallest part"] == pytest.approx(7 / 24)
