"""Groups of objects: as many as were planted."""

import numpy as np
import pytest

from tasks.ops import grouping
from tasks.ops.grouping import group_alike


def planted(counts: list[int], noise: float = 0.05, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    kinds = np.repeat(np.arange(len(counts)), counts)
    points = rng.normal(size=(len(counts), 32))[kinds] + 3.0  # all objects share much
    return points + noise * rng.normal(size=points.shape), kinds


@pytest.mark.parametrize("counts", [[5, 3], [4, 9, 2], [6, 5, 4, 3, 2, 2]])
def test_as_many_groups_as_kinds(counts: list[int]) -> None:
    points, kinds = planted(counts)
    labels, nearness = group_alike(points, 20)
    assert len(set(zip(labels.tolist(), kinds.tolist(), strict=True))) == len(counts)
    assert len(set(labels.tolist())) == len(counts)
    assert nearness.min() > 0.9
    assert len(set(group_alike(points, 2)[0].tolist())) == 2


def test_what_was_not_compared_joins_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    points, kinds = planted([40, 30, 20])
    monkeypatch.setattr(grouping, "MOST_COMPARED", 12)
    labels, _ = group_alike(points, 20)
    assert len(set(zip(labels.tolist(), kinds.tolist(), strict=True))) == 3


def test_objects_all_alike_or_few_are_one_group() -> None:
    noise = np.random.default_rng(0).normal(size=(40, 384))
    assert not group_alike(noise, 20)[0].any()
    assert not group_alike(np.ones((5, 4)), 20)[0].any()
    assert not group_alike(noise[:2], 20)[0].any()
    assert not group_alike(noise, 1)[0].any()
