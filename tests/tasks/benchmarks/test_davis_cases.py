"""The pictures of a video benchmark's cases."""

from pathlib import Path

import numpy as np
from PIL import Image

from storage.results import write_indexed_png, write_rgb
from tasks.benchmarks.davis import DavisBenchmark
from tasks.benchmarks.davis_cases import draw_cases
from tasks.ops.draw import palette
from tasks.report import write_report
from tasks.report_records import read_record
from tasks.scores import Scores

STEMS = ("00000", "00001", "00002")


def outlined(path: Path) -> int:
    """Pixels as green as a mask's outline."""
    with Image.open(path) as picture:
        red, green, _ = np.moveaxis(np.asarray(picture.convert("RGB"), int), 2, 0)
    return int((green - red > 120).sum())


def test_the_worst_the_median_and_the_best_are_drawn_with_the_truth(tmp_path: Path) -> None:
    root, out = tmp_path / "data", tmp_path / "out"
    mask = np.zeros((48, 48), np.uint8)
    mask[12:36, 12:36] = 2
    for sequence in "abc":
        for stem in STEMS:
            frame = root / f"JPEGImages/480p/{sequence}/{stem}.jpg"
            write_rgb(str(frame), np.full((48, 48, 3), 90, np.uint8))
            truth = root / f"Annotations/480p/{sequence}/{stem}.png"
            write_indexed_png(str(truth), mask, palette(3))
            if sequence != "a":
                write_indexed_png(str(out / sequence / "masks" / f"{stem}.png"), mask, palette(3))
    benchmark = DavisBenchmark(str(root), dict.fromkeys("abc", STEMS), single=False)
    items = {"c/2": {"j": 0.9}, "a/2": {"j": 0.1}, "b/2": {"j": 0.5}}
    scores = Scores(scores={"j": 0.5}, by_category={}, items=items, weights={})
    assert draw_cases.fn(benchmark, scores, str(out)) == 3
    record = read_record(str(out / "cases" / "set.json"))
    assert [image.name for image in record.images] == ["a/2", "b/2", "c/2"]
    green = [
        [outlined(out / "cases" / image.pictures[layer]) for layer in ("found", "truth")]
        for image in record.images
    ]
    assert green[0][0] == 0
    assert min(green[0][1], *green[1], *green[2]) > 100
    assert write_report(str(out)).problems == ()
    # Proposals have numbers of their own: all are drawn.
    write_indexed_png(str(out / "c" / "masks" / "00001.png"), mask // 2, palette(3))
    assert draw_cases.fn(benchmark, scores, str(tmp_path / "out"), numbered=False) == 3
    last = record.images[2].pictures["found"]
    assert outlined(out / "cases" / last) == green[2][0]


def test_nothing_is_drawn_of_too_few_sequences(tmp_path: Path) -> None:
    benchmark = DavisBenchmark(str(tmp_path), {"a": STEMS}, single=True)
    scores = Scores(scores={"j": 0.5}, by_category={}, items={"a": {"j": 0.5}}, weights={})
    assert draw_cases.fn(benchmark, scores, str(tmp_path / "out")) == 0
    assert not (tmp_path / "out").exists()
