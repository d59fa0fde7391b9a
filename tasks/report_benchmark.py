"""A benchmark's page, from the `metrics.json` of `patchflow evaluate` and the sets beside it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tasks.report_records import (
    METRICS_FILE,
    ImageRecord,
    RecordError,
    SetRecord,
    TableRecord,
    Value,
    read_content,
    read_record,
)

_LOWER = ("_error", "_decay")  # scores of which less is better end like this
_CASES = 4  # of each kind, or fewer where there are not enough items
_SHOWN = {"scores", "by_category", "items", "intervals", "notes", "settings"}
_LEFT_OUT = frozenset(_SHOWN | {"groups", "sizes", "measures", "published"})


def read_page(url: str) -> SetRecord:
    """The record of one set.json or metrics.json.

    Raises:
        RecordError: a file that cannot be understood; the message names file and field.
    """
    if not url.endswith(METRICS_FILE):
        return read_record(url)
    metrics = read_content(url)
    if not isinstance(metrics, dict) or not isinstance(metrics.get("scores"), dict):
        raise RecordError(f"{url}: expected the metrics of `patchflow evaluate`, with scores")
    return benchmark_record(metrics)


def benchmark_record(metrics: Mapping[str, Any]) -> SetRecord:
    """Scores with their intervals, categories, and the cases a reader should look at."""
    scores = {k: v for k, v in metrics["scores"].items() if isinstance(v, int | float)}
    tables = [
        _interval_table(scores, metrics.get("intervals") or {}),
        _table("By category", "category", metrics.get("by_category") or {}),
        _table("Published, with a preset's settings", "preset", metrics.get("published") or {}),
    ]
    items = metrics.get("items") or {}
    cases = extreme_cases(items, telling_score(scores, items))
    for label, names in cases.items():
        chosen = {name: metrics["items"][name] for name in names}
        tables.append(_table(f"{label.capitalize()} items", "item", chosen))
    rest = {k: v for k, v in metrics.items() if k not in _LEFT_OUT}
    return SetRecord(
        kind="benchmark",
        name=str(metrics.get("benchmark", "benchmark")),
        numbers=scores | dict(metrics.get("measures") or {}),
        tables=tuple(table for table in tables if table is not None),
        cases=cases,
        notes=tuple(map(str, metrics.get("notes") or ())),
        settings=rest | dict(metrics.get("settings") or {}),
    )


def telling_score(scores: Mapping[str, float], items: Mapping[str, Mapping[str, float]]) -> str:
    """The score that tells items apart best: the one with the most different values."""
    different = {
        name: len({value[name] for value in items.values() if name in value}) for name in scores
    }
    return max(different, key=lambda name: different[name], default="")


def extreme_cases(
    items: Mapping[str, Mapping[str, float]], score: str
) -> dict[str, tuple[str, ...]]:
    """Names of the worst, the middle and the best items by one score, `_CASES` each.

    Fewer where that many would overlap; nothing of less than three items.
    """
    sign = -1 if score.endswith(_LOWER) else 1
    known = sorted((sign * value[score], name) for name, value in items.items() if score in value)
    names = [name for _, name in known]
    count = min(_CASES, len(names) // 3)
    if not count:
        return {}
    middle = (len(names) - count) // 2
    return {
        "worst": tuple(names[:count]),
        "median": tuple(names[middle : middle + count]),
        "best": tuple(names[: -count - 1 : -1]),
    }


def with_pictures(record: SetRecord, others: Iterable[tuple[str, SetRecord]]) -> SetRecord:
    """The benchmark's cases as images, where a set under the same folder shows them; a pair by the
    first of its images, on which its flow is drawn.

    Args:
        record: the benchmark's.
        others: (folder relative to the benchmark's own, record) of the sets; the folder is empty
            or ends with a slash.
    """
    wanted = {name: label for label, names in record.cases.items() for name in names}
    scores = {
        row[0]: {
            k: float(v) for k, v in zip(table.columns[1:], row[1:], strict=True) if v is not None
        }
        for table in record.tables
        if table.columns[0] == "item"
        for row in table.rows
    }
    found: dict[str, ImageRecord] = {}
    for folder, other in others:
        shown = [(image.name, image) for image in other.images]
        shown += [(other.name, image) for image in other.images[:1] if other.kind == "pair"]
        for name, image in shown:
            if name in wanted and name not in found:
                found[name] = ImageRecord(
                    f"{wanted[name]}: {name}",
                    image.width,
                    image.height,
                    {k: f"{folder}{path}" for k, path in image.pictures.items()},
                    {k: f"{folder}{path}" for k, path in image.large.items()},
                    numbers=scores.get(name, {}),
                )
    return replace(record, images=tuple(found[name] for name in wanted if name in found))


def _interval_table(
    scores: Mapping[str, float], intervals: Mapping[str, Sequence[float]]
) -> TableRecord | None:
    rows = tuple(
        (name, scores[name], float(intervals[name][0]), float(intervals[name][1]))
        for name in scores
        if len(intervals.get(name, ())) == 2
    )
    columns = ("score", "value", "95 % from", "to")
    return TableRecord("Intervals (bootstrap over items)", columns, rows) if rows else None


def _table(title: str, what: str, groups: Mapping[str, Any]) -> TableRecord | None:
    """Groups as rows and their scores as columns."""
    rows: dict[str, dict[str, Value]] = {
        name: dict(value) if isinstance(value, Mapping) else {"score": value}
        for name, value in groups.items()
    }
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    body = tuple((name, *(row.get(c) for c in columns)) for name, row in rows.items())
    return TableRecord(title, (what, *columns), body) if body else None
