"""What a benchmark came to: `metrics.json` and `metrics.md`.

``metrics.json``, version 1 of its schema::

    schema        1
    benchmark     name, as in `patchflow evaluate NAME`
    preset        name of the preset, or "default"
    weights       {"name", "sha256"}
    scores        name -> fraction in [0, 1]: jaccard, precision, pck@0.10, j, f, j&f, corloc, ...
    by_category   category -> the same names -> fraction
    intervals     name -> [low, high], the 95 % bootstrap interval over items
    items         item (image, pair, sequence) -> the same names -> fraction
    count         number of items
    notes         what a reader of the numbers must know, e.g. the threshold's basis
    settings      every setting of the run
    seconds       wall time, peak_memory_bytes of this process, machine, versions
"""

import os
import platform
import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from storage.files import join, write_bytes
from storage.results import write_json
from tasks.plan import library_versions

SCHEMA = 1
_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Scores:
    """A benchmark's numbers, all fractions in [0, 1].

    scores: overall, by name. by_category: the same for each category. items: the same for each
    image, pair or sequence (for intervals, and for the worst and best cases). notes: see above.
    weights: {"name", "sha256"}.
    """

    scores: Mapping[str, float]
    by_category: Mapping[str, Mapping[str, float]]
    items: Mapping[str, Mapping[str, float]]
    weights: Mapping[str, str]
    notes: tuple[str, ...] = field(default=())


def mean_scores(items: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each score over items that have it."""
    names = sorted({name for item in items for name in item})
    return {n: float(np.mean([item[n] for item in items if n in item])) for n in names}


def bootstrap_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of the mean under resampling of `values` (n,)."""
    sample = np.asarray(values, dtype=np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(sample), (_RESAMPLES, len(sample)))
    low, high = np.percentile(sample[drawn].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


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
    names = sorted({name for item in scores.items.values() for name in item})
    intervals = {
        name: bootstrap_interval([item[name] for item in scores.items.values() if name in item])
        for name in names
    }
    content = {
        "schema": SCHEMA,
        "benchmark": benchmark,
        "preset": preset or "default",
        "weights": dict(scores.weights),
        "scores": dict(scores.scores),
        "by_category": {k: dict(v) for k, v in scores.by_category.items()},
        "intervals": {k: list(v) for k, v in intervals.items()},
        "items": {k: dict(v) for k, v in scores.items.items()},
        "count": len(scores.items),
        "notes": list(scores.notes),
        "settings": dict(settings),
        "seconds": round(seconds, 2),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": library_versions(),
    }
    write_bytes(join(out, "metrics.md"), _markdown(content).encode())
    return write_json(join(out, "metrics.json"), content)


def _markdown(content: Mapping[str, Any]) -> str:
    names = list(content["scores"])
    lines = [
        f"# {content['benchmark']}, {content['preset']}",
        f"Weights {content['weights']['name']} ({content['weights']['sha256'][:12]}), "
        f"{content['count']} items, {content['seconds']} s on {content['machine']}.",
        *[f"- {note}" for note in content["notes"]],
        "",
        "| | " + " | ".join(names) + " |",
        "| --- |" + " ---: |" * len(names),
    ]
    rows = [("**all**", content["scores"]), *content["by_category"].items()]
    for category, values in rows:
        cells = [f"{100 * values[n]:.1f}" if n in values else "" for n in names]
        lines.append(f"| {category} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
