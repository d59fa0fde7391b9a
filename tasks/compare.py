"""Two results of one benchmark side by side, and which differences are more than noise."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from storage.files import join
from storage.results import read_json
from tasks.ops.bootstrap import Samples, percentile_interval, resample, statistic
from tasks.scores import SCHEMA, Explained, explain, samples_of

# A bootstrap over fewer items takes chance for certainty.
_FEWEST = 10


@dataclass(frozen=True, slots=True)
class Difference:
    """One score of both results.

    low, high: 95 % interval of second - first, None where it cannot be told. beyond_noise:
    it leaves 0 out; None where that cannot be told. by: how: ``paired`` over the items that both
    have, or ``intervals`` of each result by itself, which finds less; or why not.
    """

    name: str
    first: float
    second: float
    difference: float
    low: float | None = None
    high: float | None = None
    beyond_noise: bool | None = None
    by: str = "no interval"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two results have in common and where they differ.

    shared: items of both; scores that are paired are over these. settings: name to the two
    values that differ; a setting that one lacks is None.
    """

    benchmark: str
    presets: tuple[str, str]
    counts: tuple[int, int]
    shared: int
    differences: tuple[Difference, ...]
    settings: Mapping[str, tuple[Any, Any]]

    @property
    def line(self) -> str:
        """One sentence for the terminal."""
        clear = sum(bool(d.beyond_noise) for d in self.differences)
        return (
            f"{self.benchmark}: {clear} of {len(self.differences)} scores differ beyond noise, "
            f"{self.shared} shared items of {self.counts[0]} and {self.counts[1]}"
        )


def compare_metrics(first: str, second: str) -> Comparison:
    """Compare two ``metrics.json``, each named itself or by its folder.

    Raises:
        ValueError: no metrics of `patchflow evaluate`, or of two benchmarks.
    """
    one, two = read_metrics(first), read_metrics(second)
    if one["benchmark"] != two["benchmark"]:
        raise ValueError(
            f"{first} measures {one['benchmark']} and {second} {two['benchmark']}; "
            "give two results of one benchmark"
        )
    shared = [item for item in one["items"] if item in two["items"]]
    paired = _paired(one, two, shared)
    names = [name for name in one["scores"] if name in two["scores"]]
    return Comparison(
        benchmark=one["benchmark"],
        presets=(one["preset"], two["preset"]),
        counts=(len(one["items"]), len(two["items"])),
        shared=len(shared),
        differences=tuple(paired.get(name) or _by_intervals(name, one, two) for name in names),
        settings=_changed(_conditions(one), _conditions(two)),
    )


def read_metrics(url: str) -> dict[str, Any]:
    """The content of a metrics.json, named itself or by its folder.

    Raises:
        ValueError: anything else, or of a later version of the schema.
    """
    url = url if url.endswith(".json") else join(url, "metrics.json")
    content = read_json(url)
    wanted = {"schema", "benchmark", "preset", "scores", "items", "settings", "weights"}
    sound = isinstance(content, dict) and wanted <= content.keys()
    if not sound or not isinstance(content["schema"], int):
        raise ValueError(f"{url}: expected the metrics.json of `patchflow evaluate`")
    if content["schema"] > SCHEMA:
        raise ValueError(
            f"{url}: version {content['schema']} of the schema is later than {SCHEMA}, which "
            "this patchflow knows; update it"
        )
    return content


def _paired(
    one: Mapping[str, Any], two: Mapping[str, Any], shared: list[str]
) -> dict[str, Difference]:
    """Differences over the same draws of the items that both have."""
    sides = [_Side(content, shared) for content in (one, two)]
    if len(shared) < 2:
        return {}
    found = {}
    for name, how in sides[0].explained.items():
        other = sides[1].explained.get(name)
        common = [kind for kind in how.kinds if other is not None and kind in other.kinds]
        if other is None or not common:
            continue
        values = [s.column(e) for s, e in zip(sides, (how, other), strict=True)]
        before, after = (float(statistic(v, common[0])[0]) for v in values)
        if np.isnan(before) or np.isnan(after):
            continue
        draws = resample(values[1], common[0]) - resample(values[0], common[0])
        low, high = percentile_interval(draws)[:, 0].tolist()
        numbers = name, before, after, after - before, low, high
        found[name] = _judged(Difference(*numbers, by="paired"), len(shared))
    return found


class _Side:
    """One result's shared items, and how its scores come from all of its items."""

    def __init__(self, content: Mapping[str, Any], shared: list[str]) -> None:
        names, samples = samples_of(content, list(content["items"]))
        self.explained = explain(content["scores"], names, samples)
        place = {item: i for i, item in enumerate(content["items"])}
        kept = [place[item] for item in shared]
        self.samples = Samples(*(field[kept] for field in samples))

    def column(self, how: Explained) -> Samples:
        """The shared items' values of one score."""
        return self.samples._replace(values=self.samples.values[:, [how.column]])


def _by_intervals(name: str, one: Mapping[str, Any], two: Mapping[str, Any]) -> Difference:
    before, after = one["scores"][name], two["scores"][name]
    spans = [content.get("intervals", {}).get(name) for content in (one, two)]
    if None in spans:
        return Difference(name, before, after, after - before)
    (low, high), (other_low, other_high) = spans
    numbers = name, before, after, after - before, other_low - high, other_high - low
    return _judged(Difference(*numbers, by="intervals"), min(len(one["items"]), len(two["items"])))


def _judged(difference: Difference, items: int) -> Difference:
    """With the verdict on its interval, where there are enough items to trust it."""
    if items < _FEWEST or difference.low is None or difference.high is None:
        return replace(difference, by=f"fewer than {_FEWEST} items")
    return replace(difference, beyond_noise=difference.low > 0 or difference.high < 0)


def _conditions(content: Mapping[str, Any]) -> dict[str, Any]:
    """What may explain a difference."""
    weights = content["weights"]
    return {
        **content["settings"],
        "weights digest": weights.get("sha256"),
        "machine": content.get("machine"),
        **{f"{name} version": v for name, v in content.get("versions", {}).items()},
    }


def _changed(one: Mapping[str, Any], two: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    names = [*one, *(name for name in two if name not in one)]
    pairs = {name: (one.get(name), two.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
