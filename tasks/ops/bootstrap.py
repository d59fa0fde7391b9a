"""How far a benchmark's numbers may be off: the bootstrap over its items (Efron 1979).

A score is a mean of its items in one of four ways, and its interval must be that of the same
mean. Draws depend on the number of items, their groups and the seed alone: two results over the
same items are resampled alike, so that the differences of their draws are paired.
"""

from typing import Literal, NamedTuple, get_args

import numpy as np

Kind = Literal["items", "sizes", "groups", "groups by sizes"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_AT_ONCE = 4_000_000  # draws that are held in memory


class Samples(NamedTuple):
    """n items with S scores each.

    values: (n, S) float64, NaN where an item lacks a score. sizes: (n,) float64, e.g. how many
    keypoints an image pair has. groups: (n,) int from 0 on, e.g. the category.
    """

    values: np.ndarray
    sizes: np.ndarray
    groups: np.ndarray


def statistic(samples: Samples, kind: Kind) -> np.ndarray:
    """The mean (S,) of each score; NaN where no item has it.

    kind: ``items`` (every item counts alike), ``sizes`` (by its size), ``groups`` (means over
    the groups of the means over their items), ``groups by sizes`` (items by size within those).
    """
    return _means(samples, kind, [np.ones((1, len(i))) for i in _strata(samples, kind)])[0]


def resample(samples: Samples, kind: Kind, rounds: int = 1000, seed: int = 0) -> np.ndarray:
    """(rounds, S) float64: `statistic` of items drawn with replacement, within groups if it is
    a mean over groups.
    """
    rng = np.random.default_rng(seed)
    strata = _strata(samples, kind)
    step = max(1, _AT_ONCE // max(1, len(samples.values)))
    found = []
    for start in range(0, rounds, step):
        count = min(step, rounds - start)
        found.append(_means(samples, kind, [_draw(rng, count, len(i)) for i in strata]))
    return np.concatenate(found)


def percentile_interval(draws: np.ndarray, level: float = 0.95) -> np.ndarray:
    """(2, S): the central `level` of `draws` (rounds, S).

    Draws without any item that has the score, which are NaN, are left out; NaN where all are.
    """
    tail = 50 * (1 - level)
    found = np.full((2, draws.shape[1]), np.nan)
    known = ~np.isnan(draws)
    for column in np.flatnonzero(known.any(axis=0)):
        found[:, column] = np.percentile(draws[known[:, column], column], [tail, 100 - tail])
    return found


def _strata(samples: Samples, kind: Kind) -> list[np.ndarray]:
    if not kind.startswith("groups"):
        return [np.arange(len(samples.values))]
    return [np.flatnonzero(samples.groups == g) for g in np.unique(samples.groups)]


def _draw(rng: np.random.Generator, rounds: int, n: int) -> np.ndarray:
    """(rounds, n): how often each of n items is drawn."""
    cells = rng.integers(0, n, (rounds, n)) + n * np.arange(rounds)[:, None]
    return np.bincount(cells.ravel(), minlength=rounds * n).reshape(rounds, n)


def _means(samples: Samples, kind: Kind, counts: list[np.ndarray]) -> np.ndarray:
    known = ~np.isnan(samples.values)
    weights = known * (samples.sizes[:, None] if kind.endswith("sizes") else 1.0)
    sums = np.where(known, samples.values, 0) * weights
    means = []
    for items, drawn in zip(_strata(samples, kind), counts, strict=True):
        below = drawn @ weights[items]
        means.append(
            np.divide(drawn @ sums[items], below, np.full_like(below, np.nan), where=below > 0)
        )
    return _mean_known(np.stack(means))


def _mean_known(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis of what is not NaN; NaN where all is."""
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0).sum(axis=0)
    return np.divide(total, count, np.full(total.shape, np.nan), where=count > 0)
