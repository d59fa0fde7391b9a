"""Two results side by side: paired differences, intervals where items differ, refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.results import write_json
from tasks.compare import Comparison, compare_metrics, read_metrics
from tasks.scores import Scores, write_scores

ITEMS = [f"{kind}/{n:02d}" for kind in ("cat", "dog") for n in range(30)]
NOISE = np.random.default_rng(0).random(60)


def record(out: Path, values: dict[str, float], layer: int = 9, **other: Any) -> str:
    groups = {item: item[:3] for item in values}
    means = [np.mean([v for i, v in values.items() if groups[i] == g]) for g in ("cat", "dog")]
    scores = Scores(
        scores={"jaccard": float(np.mean(means)), **other},
        by_category={},
        items={item: {"jaccard": float(value)} for item, value in values.items()},
        weights={"name": "w", "sha256": "0"},
        groups=groups,
    )
    return write_scores(
        str(out), scores, benchmark="msrc", preset=None, settings={"layer": layer}, seconds=1.0
    )


def by_name(found: Comparison, name: str = "jaccard") -> Any:
    return next(d for d in found.differences if d.name == name)


def test_a_small_gain_on_the_same_items_is_found(tmp_path: Path) -> None:
    """One point on each image: far below the spread between images, yet beyond noise."""
    first = record(tmp_path / "a", dict(zip(ITEMS, NOISE, strict=True)))
    gain = NOISE + 0.01 + 0.005 * np.random.default_rng(1).standard_normal(60)
    second = record(tmp_path / "b", dict(zip(ITEMS, gain, strict=True)), layer=11)
    found = compare_metrics(str(tmp_path / "a"), second)
    difference = by_name(found)
    assert (found.shared, difference.by, difference.beyond_noise) == (60, "paired", True)
    assert difference.difference == pytest.approx(float((gain - NOISE).mean()))
    assert 0.005 < difference.low < difference.difference < difference.high < 0.015
    assert found.settings == {"layer": (9, 11)}
    assert found.line == "msrc: 1 of 1 scores differ beyond noise, 60 shared items of 60 and 60"
    # The other way round is the same with the other sign, a result with itself is nothing.
    assert by_name(compare_metrics(second, first)).difference == -difference.difference
    same = by_name(compare_metrics(first, first))
    assert (same.difference, same.low, same.high, same.beyond_noise) == (0, 0, 0, False)


def test_what_chance_explains_is_noise(tmp_path: Path) -> None:
    first = record(tmp_path / "a", dict(zip(ITEMS, NOISE, strict=True)))
    shuffled = np.random.default_rng(2).permutation(NOISE) + 0.01
    second = record(tmp_path / "b", dict(zip(ITEMS, shuffled, strict=True)))
    assert by_name(compare_metrics(first, second)).beyond_noise is False


def test_only_shared_items_are_paired(tmp_path: Path) -> None:
    first = record(tmp_path / "a", dict(zip(ITEMS, NOISE, strict=True)))
    half = {item: value + 0.1 for item, value in list(zip(ITEMS, NOISE, strict=True))[::2]}
    found = compare_metrics(first, record(tmp_path / "b", half))
    assert (found.shared, found.counts) == (30, (60, 30))
    assert by_name(found).difference == pytest.approx(0.1)


def test_a_part_with_equally_many_of_each_category_is_paired_with_the_whole(tmp_path: Path) -> None:
    """Of the part, means over categories and over items are one; of the whole they are two."""
    uneven = dict(list(zip(ITEMS, NOISE, strict=True))[:50])
    first = record(tmp_path / "a", uneven)
    part = [*ITEMS[:10], *ITEMS[30:40]]
    second = record(tmp_path / "b", {item: uneven[item] + 0.1 for item in part})
    difference = by_name(compare_metrics(first, second))
    assert (difference.by, difference.beyond_noise) == ("paired", True)
    assert difference.difference == pytest.approx(0.1)


def test_an_older_schema_is_compared_as_far_as_it_goes(tmp_path: Path) -> None:
    """Version 1 had no groups, so that a mean over categories is no mean of its items."""
    url = record(tmp_path / "a", dict(list(zip(ITEMS, NOISE, strict=True))[:50]))
    later = {"groups", "sizes", "measures", "published"}
    old = {k: v for k, v in read_metrics(url).items() if k not in later} | {"schema": 1}
    found = compare_metrics(write_json(str(tmp_path / "old.json"), old), url)
    assert found.shared == 50
    assert (by_name(found).by, by_name(found).beyond_noise) == ("intervals", False)
    assert found.settings == {}


def test_a_handful_of_items_proves_nothing(tmp_path: Path) -> None:
    few = dict(zip(ITEMS[26:35], NOISE, strict=False))
    first = record(tmp_path / "a", few)
    second = record(tmp_path / "b", {item: value + 0.1 for item, value in few.items()})
    difference = by_name(compare_metrics(first, second))
    assert (difference.beyond_noise, difference.by) == (None, "fewer than 10 items")
    assert difference.low == pytest.approx(0.1)


def test_other_items_are_compared_by_intervals(tmp_path: Path) -> None:
    first = record(tmp_path / "a", dict(zip(ITEMS, 0.2 * NOISE, strict=True)), precision=0.5)
    others = {f"{item}x": 0.8 + 0.2 * value for item, value in zip(ITEMS, NOISE, strict=True)}
    found = compare_metrics(first, record(tmp_path / "b", others, precision=0.6))
    assert (by_name(found).by, by_name(found).beyond_noise) == ("intervals", True)
    # A score that is no mean of the items can be shown, not judged.
    assert by_name(found, "precision").beyond_noise is None


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    url = record(tmp_path / "a", dict(zip(ITEMS, NOISE, strict=True)))
    content = read_metrics(url)
    other = write_json(str(tmp_path / "o.json"), content | {"benchmark": "icoseg"})
    with pytest.raises(ValueError, match=r"measures msrc and .*o\.json icoseg; give two results"):
        compare_metrics(url, other)
    with pytest.raises(ValueError, match=r"expected the metrics\.json of `patchflow evaluate`"):
        read_metrics(write_json(str(tmp_path / "x.json"), {"scores": {}}))
    with pytest.raises(ValueError, match=r"expected the metrics\.json of `patchflow evaluate`"):
        read_metrics(write_json(str(tmp_path / "z.json"), content | {"schema": "2"}))
    with pytest.raises(ValueError, match="version 99 of the schema is later than 2"):
        read_metrics(write_json(str(tmp_path / "y.json"), content | {"schema": 99}))
    with pytest.raises(FileNotFoundError):
        read_metrics(str(tmp_path / "nothing"))
