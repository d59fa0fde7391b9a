"""Keypoints carried from image to image, and how many arrive."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from prefect import task

from storage.descriptors import DescriptorStore
from storage.files import join
from tasks.benchmarks.keypoints import KeypointBenchmark, KeypointPair
from tasks.config import EXECUTION_FIELDS
from tasks.faults import STORAGE_RETRIES
from tasks.match_config import MatchConfig
from tasks.matching import View, compare, transfer_points, views_of
from tasks.ops.pck import pck, pck_by_image, pck_by_point, relative_errors
from tasks.reuse import finished, mark_finished
from tasks.scores import Scores, mean_scores
from tasks.sets import work_key

CODE = "pck-2"
ALPHAS = (0.01, 0.05, 0.10, 0.15)


@dataclass(frozen=True, slots=True)
class PairErrors:
    """Errors of one pair's keypoints, in units of the threshold's basis."""

    name: str
    category: str
    errors: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class BlockErrors:
    """Errors of a block of pairs. reused: an equal run had done them."""

    pairs: tuple[PairErrors, ...]
    reused: bool = False


@task(name="transfer-block", tags=["patchflow-correspond"], **STORAGE_RETRIES)
def transfer_block(
    store: str, pairs: Sequence[KeypointPair], folder: str, config: MatchConfig
) -> BlockErrors:
    """Carry the keypoints of every pair over; `folder` keeps the errors for a later run."""
    opened = DescriptorStore.open(store)
    settings = config.model_dump(mode="json", exclude={*EXECUTION_FIELDS, "block"})
    settings["pairs"] = [[p.name, p.category, p.source_xy, p.target_xy, p.basis] for p in pairs]
    names = [name for pair in pairs for name in (pair.source, pair.target)]
    key = work_key(opened, names, settings, CODE)
    if (earlier := finished(folder, key, BlockErrors)) is not None:
        return replace(earlier, reused=True)
    views = {view.name: view for view in views_of(opened, list(dict.fromkeys(names)), config)}
    found = BlockErrors(
        tuple(
            PairErrors(p.name, p.category, _errors(p, views[p.source], views[p.target], config))
            for p in pairs
        )
    )
    mark_finished(folder, key, found)
    return found


def block_folder(out: str, number: int) -> str:
    """Where a block of pairs keeps its errors."""
    return join(out, "blocks", f"{number:05d}")


def _errors(
    pair: KeypointPair, source: View, target: View, config: MatchConfig
) -> tuple[float, ...]:
    basis = float(max(target.grid.image)) if pair.basis is None else pair.basis
    points = transfer_points(compare(source, target, config), np.array(pair.source_xy), config)
    return tuple(relative_errors(points.xy, np.array(pair.target_xy), basis).tolist())


@task(name="score")
def score(
    benchmark: KeypointBenchmark, found: Sequence[PairErrors], weights: Mapping[str, str]
) -> Scores:
    """PCK by point, by image, and as a mean over categories of the former."""
    by_category = {
        category: _pck([p for p in found if p.category == category])
        for category in sorted({p.category for p in found})
    }
    scores = _pck(found)
    for name, value in mean_scores(list(by_category.values())).items():
        if "by image" not in name:
            scores[f"{name} mean over categories"] = value
    pairs = {
        f"{p.category} {p.name}": p
        for p in sorted(found, key=lambda p: (p.category, p.name))
        if p.errors
    }
    items = {
        name: {f"pck@{a:.2f}": pck(np.array(p.errors), a) for a in ALPHAS}
        for name, p in pairs.items()
    }
    notes = (
        f"threshold basis: {benchmark.basis}",
        "pck@a counts keypoints over all pairs; by image: mean over pairs of a pair's share",
    )
    return Scores(
        scores,
        by_category,
        items,
        weights,
        notes,
        groups={name: p.category for name, p in pairs.items()},
        sizes={name: len(p.errors) for name, p in pairs.items()},
    )


def _pck(found: Sequence[PairErrors]) -> dict[str, float]:
    errors = [np.array(pair.errors) for pair in found]
    return {f"pck@{a:.2f}": pck_by_point(errors, a) for a in ALPHAS} | {
        f"pck@{a:.2f} by image": pck_by_image(errors, a) for a in ALPHAS
    }
