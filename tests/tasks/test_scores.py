"""The record of a benchmark: intervals of the right mean, cost, and what stays as it is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from storage.results import read_json
from tasks.ops.bootstrap import Samples, percentile_interval, resample
from tasks.scores import SCHEMA, Scores, bootstrap_intervals, mean_scores, write_scores

# Keypoints of four pairs in two categories; shares that arrive.
SHARES = {"cat 0": 1.0, "cat 1": 0.5, "cat 2": 0.0, "dog 0": 0.25}
SIZES = {"cat 0": 2, "cat 1": 4, "cat 2": 4, "dog 0": 8}
GROUPS = {item: item[:3] for item in SHARES}
POOLED = (2 + 2 + 0 + 2) / 18
SCORES = Scores(
    scores={
        "pck@0.10": POOLED,
        "pck@0.10 by image": 1.75 / 4,
        "pck@0.10 mean over categories": (4 / 10 + 2 / 8) / 2,
        "pck@0.10 of something else": 0.9,
    },
    by_category={"cat": {"pck@0.10": 0.4}, "dog": {"pck@0.10": 0.25}},
    items={item: {"pck@0.10": share} for item, share in SHARES.items()},
    weights={"name": "w", "sha256": "0" * 64},
    notes=("basis: a box",),
    measures={"psnr_db": 21.5},
    groups=GROUPS,
    sizes=SIZES,
)


def write(out: Path, scores: Scores = SCORES, seconds: float = 3.0) -> Path:
    settings = {"layer": 9, "also": ["7.token"]}
    write_scores(
        str(out), scores, benchmark="spair71k", preset=None, settings=settings, seconds=seconds
    )
    return out / "metrics.json"


def test_each_score_has_the_interval_of_its_own_mean(tmp_path: Path) -> None:
    content = read_json(str(write(tmp_path)))
    samples = Samples(
        np.array(list(SHARES.values()))[:, None],
        np.array(list(SIZES.values()), dtype=float),
        np.array([0, 0, 0, 1]),
    )
    kinds = ("sizes", "items", "groups by sizes")
    for name, kind in zip(list(SCORES.scores)[:3], kinds, strict=True):
        expected = percentile_interval(resample(samples, kind))[:, 0]  # type: ignore[arg-type]
        np.testing.assert_allclose(content["intervals"][name], expected)
        low, high = content["intervals"][name]
        assert low < SCORES.scores[name] < high
    # What is no mean of the items has no interval, rather than a wrong one.
    assert "pck@0.10 of something else" not in content["intervals"]
    assert bootstrap_intervals(content | {"items": {}}) == {}


def test_the_record_is_complete(tmp_path: Path) -> None:
    content = read_json(str(write(tmp_path)))
    assert (content["schema"], content["benchmark"], content["preset"]) == (
        SCHEMA, "spair71k", "default",
    )  # fmt: skip
    assert content["weights"] == {"name": "w", "sha256": "0" * 64}
    assert content["scores"] == SCORES.scores
    assert content["measures"] == {"psnr_db": 21.5}
    assert (content["groups"], content["sizes"], content["count"]) == (GROUPS, SIZES, 4)
    assert content["settings"] == {"layer": 9, "also": ["7.token"]}
    assert "cores" in content["machine"]
    assert content["versions"]["torch"]
    assert content["peak_memory_bytes"] > 10_000_000
    published = content["published"]["asic-spair224"]
    assert published["published"].startswith("33.3")
    text = (tmp_path / "metrics.md").read_text()
    for part in ("| **all** | 33.3 | 43.8 | 32.5 | 90.0 |", "- psnr_db: 21.50", "- basis: a box"):
        assert part in text
    assert "| asic-spair224 | SPair-71k test, PCK@0.1 | 33.3 (mean over 18" in text


def test_equal_results_leave_the_file_alone(tmp_path: Path) -> None:
    before = write(tmp_path).read_bytes()
    assert write(tmp_path, seconds=99.0).read_bytes() == before
    worse = replace(SCORES, items={**SCORES.items, "dog 0": {"pck@0.10": 0.0}})
    content = read_json(str(write(tmp_path, worse, seconds=99.0)))
    assert (content["seconds"], content["items"]["dog 0"]) == (99.0, {"pck@0.10": 0.0})
    (tmp_path / "metrics.json").write_text("cut off {")
    again = read_json(str(write(tmp_path)))
    assert (again["items"], again["scores"]) == (SCORES.items, SCORES.scores)


def test_means_are_over_items_that_have_the_score() -> None:
    assert mean_scores([{"a": 1.0, "b": 0.5}, {"a": 0.0}]) == {"a": 0.5, "b": 0.5}


def test_an_evaluation_without_items_is_recorded(tmp_path: Path) -> None:
    empty = Scores(scores={}, by_category={}, items={}, weights={"name": "w", "sha256": "0"})
    assert read_json(str(write(tmp_path, empty)))["count"] == 0


@pytest.mark.parametrize("missing", ["asic-spair224", "sddino-dinov2-840", "amir2021-corr"])
def test_presets_of_the_benchmark_are_beside_the_result(tmp_path: Path, missing: str) -> None:
    assert missing in read_json(str(write(tmp_path)))["published"]
