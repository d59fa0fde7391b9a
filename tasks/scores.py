"""What a benchmark came to: `metrics.json` and `metrics.md`.

``metrics.json``, version 2 of its schema::

    schema        2
    benchmark     name, as in `patchflow evaluate NAME`
    preset        name of the preset, or "default"
    weights       {"name", "sha256"}
    scores        name -> fraction in [0, 1]: jaccard, precision, pck@0.10, j, f, j&f, corloc, ...
    by_category   category -> the same names -> fraction
    measures      name -> number in the unit that its name ends in: psnr_db; often empty
    intervals     name -> [low, high], 95 % bootstrap interval of the score over items. A score
                  that is no mean of its items has none
    items         item (image, pair, sequence) -> score names -> fraction
    groups        item -> category, where an item has one
    sizes         item -> what it counts for in a score over points, e.g. its keypoints
    count         number of items
    notes         what a reader of the numbers must know, e.g. the threshold's basis
    published     preset -> {"published", "benchmark", "source"}: of others, on this benchmark
    settings      every setting of the run
    machine, versions
    seconds, peak_memory_bytes
                  wall time, and the peak of the process that ran the flow (not of Dask's
                  workers); of the run that first came to these results. A run that finds all
                  of them done leaves the file as it is

Version 1 lacked measures, groups, sizes and published.
"""

import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from storage.errors import StorageError
from storage.files import exists, join, write_bytes
from storage.results import read_json, write_json
from tasks.machine import describe_machine
from tasks.ops.bootstrap import KINDS, Kind, Samples, percentile_interval, resample, statistic
from tasks.plan import library_versions
from tasks.presets import published_for

SCHEMA = 2
_COST = frozenset({"seconds", "peak_memory_bytes"})


@dataclass(frozen=True, slots=True)
class Scores:
    """A benchmark's numbers, all fractions in [0, 1] but the measures.

    scores: overall, by name. by_category: the same for each category. items: the same for each
    image, pair or sequence (for intervals, and for the worst and best cases). measures, notes,
    groups, sizes: see above. weights: {"name", "sha256"}.
    """

    scores: Mapping[str, float]
    by_category: Mapping[str, Mapping[str, float]]
    items: Mapping[str, Mapping[str, float]]
    weights: Mapping[str, str]
    notes: tuple[str, ...] = field(default=())
    measures: Mapping[str, float] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)


def mean_scores(items: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each score over items that have it."""
    names = sorted({name for item in items for name in item})
    return {n: float(np.mean([item[n] for item in items if n in item])) for n in names}


@dataclass(frozen=True, slots=True)
class Explained:
    """A score as a mean of its items. column: of `Samples.values`. kinds: of mean, those that
    come to it: where all categories have equally many items, several do.
    """

    column: int
    kinds: tuple[Kind, ...]


def samples_of(content: Mapping[str, Any], items: Sequence[str]) -> tuple[list[str], Samples]:
    """The scores of `items` in that order, as metrics.json holds them, and their names."""
    values, groups, sizes = content["items"], content.get("groups", {}), content.get("sizes", {})
    names = sorted({name for item in items for name in values[item]})
    table = [[values[item].get(name, np.nan) for name in names] for item in items]
    numbers = {group: i for i, group in enumerate(sorted(set(groups.values())))}
    return names, Samples(
        np.array(table, dtype=np.float64).reshape(len(items), len(names)),
        np.array([sizes.get(item, 1) for item in items], dtype=np.float64),
        np.array([numbers.get(groups.get(item, ""), 0) for item in items]),
    )


def explain(
    scores: Mapping[str, float], names: Sequence[str], samples: Samples
) -> dict[str, Explained]:
    """Which mean of the items each score is; scores that are none are left out.

    "pck@0.10 by image" is made from the items' "pck@0.10".
    """
    means = {kind: statistic(samples, kind) for kind in KINDS}
    found = {}
    for name, value in scores.items():
        stems = [n for n in names if name == n or name.startswith(f"{n} ")]
        if not stems:
            continue
        column = names.index(max(stems, key=len))
        kinds = tuple(kind for kind in KINDS if abs(means[kind][column] - value) < 1e-9)
        if kinds:
            found[name] = Explained(column, kinds)
    return found


def bootstrap_intervals(content: Mapping[str, Any]) -> dict[str, list[float]]:
    """Name to the 95 % interval of each score that is a mean of its items."""
    if not content["items"]:
        return {}
    names, samples = samples_of(content, list(content["items"]))
    explained = explain(content["scores"], names, samples)
    spans = {
        kind: percentile_interval(resample(samples, kind))
        for kind in {e.kinds[0] for e in explained.values()}
    }
    return {name: spans[e.kinds[0]][:, e.column].tolist() for name, e in explained.items()}


def write_scores(
    out: str,
    scores: Scores,
    *,
    benchmark: str,
    preset: str | None,
    settings: Mapping[str, Any],
    seconds: float,
) -> str:
    """Write ``OUT/metrics.json`` and ``OUT/metrics.md``; returns the URL of the former."""
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "benchmark": benchmark,
        "preset": preset or "default",
        "weights": dict(scores.weights),
        "scores": dict(scores.scores),
        "by_category": {k: dict(v) for k, v in scores.by_category.items()},
        "measures": dict(scores.measures),
        "intervals": {},
        "items": {k: dict(v) for k, v in scores.items.items()},
        "groups": dict(scores.groups),
        "sizes": dict(scores.sizes),
        "count": len(scores.items),
        "notes": list(scores.notes),
        "published": {
            name: {"published": p.published, "benchmark": p.benchmark, "source": p.source}
            for name, p in published_for(benchmark).items()
        },
        "settings": dict(settings),
        "machine": describe_machine(),
        "versions": library_versions(),
        "seconds": round(seconds, 2),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    content["intervals"] = bootstrap_intervals(content)
    url = join(out, "metrics.json")
    if _unchanged(url, content):
        return url
    write_bytes(join(out, "metrics.md"), _markdown(content).encode())
    return write_json(url, content)


def _unchanged(url: str, content: Mapping[str, Any]) -> bool:
    """Whether an earlier run came to the same, at whatever cost."""
    if not exists(url):
        return False
    try:
        earlier = read_json(url)
    except StorageError:
        return False
    kept = {k: v for k, v in content.items() if k not in _COST}
    return isinstance(earlier, dict) and kept == {k: earlier.get(k) for k in kept}


def _markdown(content: Mapping[str, Any]) -> str:
    names = list(content["scores"])
    lines = [
        f"# {content['benchmark']}, {content['preset']}",
        "",
        f"Weights {content['weights']['name']} ({content['weights'].get('sha256', '')[:12]}), "
        f"{content['count']} items, {content['seconds']} s on {content['machine']}.",
        "",
        *[f"- {note}" for note in content["notes"]],
        *[f"- {name}: {value:.2f}" for name, value in content["measures"].items()],
        "",
        "| | " + " | ".join(names) + " |",
        "| --- |" + " ---: |" * len(names),
    ]
    intervals = content["intervals"]
    spans = {n: f"{100 * intervals[n][0]:.1f} to {100 * intervals[n][1]:.1f}" for n in intervals}
    rows: list[tuple[str, dict[str, str]]] = [
        ("**all**", _percent(content["scores"])),
        ("95 % interval", spans),
        *((category, _percent(values)) for category, values in content["by_category"].items()),
    ]
    for title, cells in rows:
        lines.append(f"| {title} | " + " | ".join(cells.get(n, "") for n in names) + " |")
    if content["published"]:
        lines += ["", "Published, each with the settings of its preset:", ""]
        lines += ["| preset | benchmark | published | source |", "| --- | --- | --- | --- |"]
        lines += [
            f"| {name} | {p['benchmark']} | {p['published']} | {p['source']} |"
            for name, p in content["published"].items()
        ]
    return "\n".join(lines) + "\n"


def _percent(values: Mapping[str, float]) -> dict[str, str]:
    return {name: f"{100 * value:.1f}" for name, value in values.items()}
