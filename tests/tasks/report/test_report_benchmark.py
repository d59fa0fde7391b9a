"""A benchmark's page: its numbers, and the cases worth a look."""

from pathlib import Path

import numpy as np
import pytest

from storage.results import write_json, write_rgb
from tasks.report import write_report
from tasks.report_benchmark import extreme_cases, read_page, telling_score
from tasks.report_records import ImageRecord, RecordError, SetRecord, write_record

ITEMS = {f"cat/{n:02d}.jpg": {"jaccard": n / 20, "precision": 1.0} for n in range(20)}
METRICS = {
    "benchmark": "pascal-coseg",
    "preset": "default",
    "scores": {"jaccard": 0.75, "precision": 0.9},
    "by_category": {"cat": {"jaccard": 0.7}, "bus": {"jaccard": 0.8, "precision": 1}},
    "intervals": {"jaccard": [0.7, 0.8]},
    "measures": {"psnr_db": 21.5},
    "groups": dict.fromkeys(ITEMS, "cat"),
    "sizes": {},
    "published": {"amir2021-coseg": {"published": "0.7", "source": "a paper"}},
    "items": ITEMS,
    "notes": ["over <classes>"],
    "settings": {"layer": 9},
    "count": 20,
}


def test_tables_and_settings(tmp_path: Path) -> None:
    record = read_page(write_json(str(tmp_path / "metrics.json"), METRICS))
    assert (record.kind, record.name) == ("benchmark", "pascal-coseg")
    assert record.numbers == {"jaccard": 0.75, "precision": 0.9, "psnr_db": 21.5}
    intervals, categories, published, worst = record.tables[:4]
    assert published.rows == (("amir2021-coseg", "0.7", "a paper"),)
    assert intervals.rows == (("jaccard", 0.75, 0.7, 0.8),)
    assert categories.columns == ("category", "jaccard", "precision")
    assert categories.rows == (("cat", 0.7, None), ("bus", 0.8, 1))
    assert worst.rows[0] == ("cat/00.jpg", 0.0, 1.0)
    assert record.notes == ("over <classes>",)
    assert record.settings == {
        "benchmark": "pascal-coseg", "preset": "default", "count": 20, "layer": 9,
    }  # fmt: skip


def test_cases_are_the_ends_and_the_middle() -> None:
    cases = extreme_cases(ITEMS, "jaccard")
    numbers = {k: [int(name[4:6]) for name in names] for k, names in cases.items()}
    assert numbers == {
        "worst": [0, 1, 2, 3],
        "median": [8, 9, 10, 11],
        "best": [19, 18, 17, 16],
    }
    few = extreme_cases(dict(list(ITEMS.items())[:6]), "jaccard")
    assert [[int(name[4:6]) for name in names] for names in few.values()] == [
        [0, 1],
        [2, 3],
        [5, 4],
    ]
    assert extreme_cases(dict(list(ITEMS.items())[:2]), "jaccard") == {}
    assert extreme_cases(ITEMS, "pck") == {}
    errors = {name: {"landmark_error": value["jaccard"]} for name, value in ITEMS.items()}
    turned = extreme_cases(errors, "landmark_error")
    assert (turned["worst"], turned["best"]) == (cases["best"], cases["worst"])


def test_the_score_with_the_most_values_chooses_the_cases() -> None:
    assert telling_score({"precision": 0.9, "jaccard": 0.7}, ITEMS) == "jaccard"
    assert telling_score({"pck": 0.5}, ITEMS) == "pck"
    assert telling_score({}, {}) == ""


@pytest.mark.parametrize("place", ["sets/cat", ""])
def test_cases_show_the_pictures_of_the_sets(tmp_path: Path, place: str) -> None:
    out = tmp_path / "out"
    write_json(str(out / "metrics.json"), METRICS)
    write_rgb(str(out / place / "p" / "a.png"), np.zeros((4, 4, 3), np.uint8))
    images = tuple(ImageRecord(name, 4, 4, {"image": "p/a.png"}) for name in ITEMS)
    write_record(str(out / place), SetRecord("coseg", "cat", images))
    summary = write_report(str(out))
    assert (summary.pages, summary.problems) == (2, ())
    shown = list((out / "report" / "pictures" / "metrics-benchmark").iterdir())
    assert len(shown) == 12
    page = (out / "report" / "pages" / "metrics-benchmark.html").read_text()
    assert '"name": "worst: cat/00.jpg", "numbers": {"jaccard": 0.0, "precision": 1.0}' in page
    assert "over &lt;classes&gt;" in page


def test_cases_that_are_pairs_show_their_first_image(tmp_path: Path) -> None:
    """TSS: an item is a pair, whose images are all named alike."""
    out = tmp_path / "out"
    write_json(str(out / "metrics.json"), METRICS)
    for name in ITEMS:
        write_rgb(str(out / name / "p" / "a.png"), np.zeros((4, 4, 3), np.uint8))
        images = tuple(ImageRecord(f"image{i}.png", 4, 4, {"warped": "p/a.png"}) for i in (1, 2))
        write_record(str(out / name), SetRecord("pair", name, images))
    summary = write_report(str(out))
    assert (summary.pages, summary.problems) == (21, ())
    page = (out / "report" / "pages" / "metrics-benchmark.html").read_text()
    assert '"name": "worst: cat/00.jpg", "numbers": {"jaccard": 0.0, "precision": 1.0}' in page
    assert len(list((out / "report" / "pictures" / "metrics-benchmark").iterdir())) == 12


def test_other_metrics_are_an_error(tmp_path: Path) -> None:
    url = write_json(str(tmp_path / "metrics.json"), {"x": 1})
    with pytest.raises(RecordError, match="with scores"):
        read_page(url)
