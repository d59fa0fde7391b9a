"""Likeness of a set's objects: by hand, against literal loops, and on drawn sets."""

import numpy as np
import pytest

from tasks.ops.likeness import likeness
from tasks.ops.patch_grid import unit

INSIDE = np.zeros((8, 10), bool)
INSIDE[2:6, 3:9] = True


def image(number: int, kind: int, channels: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """An object of two halves, along the axes `kind` and `kind` + 1, on ground along axis 0."""
    rng = np.random.default_rng(number)
    axes = np.where(INSIDE, kind + (np.arange(10) > 5), 0)
    noise = 0.05 * rng.normal(size=(*INSIDE.shape, channels))
    return np.eye(channels)[axes] + noise, INSIDE


def test_objects_of_one_kind_are_alike_and_others_are_not() -> None:
    same = likeness(image(i, 1) for i in range(6))
    mixed = likeness(image(i, 1 + 3 * i) for i in range(6))
    assert same > 1.1
    assert abs(mixed) < 0.2
    outlier = likeness([*(image(i, 1) for i in range(5)), image(5, 9)])
    assert mixed < outlier < same
    assert outlier > 0.6 * same


def test_half_of_an_object_that_matches_is_enough() -> None:
    whole = likeness([image(0, 1), image(1, 1)])
    half = likeness([image(0, 1), image(1, 2)])  # axes 1, 2 and 2, 3
    assert half == pytest.approx(whole, rel=0.02)


def test_likeness_by_hand() -> None:
    """Objects of 6 patches on axis 0 and 1, ground of 3 on axis 2; cosines are 0 and 1, 0.6."""
    inside = np.array([[True] * 6 + [False] * 3])
    turned = np.array([0.6, 0.8, 0.0])  # cosines 0.6 and 0.8 to axes 0 and 1
    first = np.eye(3)[[0, 0, 0, 1, 1, 1, 2, 2, 2]][None]
    second = np.array([turned] * 6 + [[0.0, 0.0, 1.0]] * 3)[None]
    # Better halves match by 0.8 and 0.8. Among the first's object 18 of 30 pairs are 1 apart,
    # none of the second's; the ground is 1 from both.
    expected = 0.8 / np.mean([(18 / 30 + 1) / 2, (0 + 1) / 2])
    found = likeness([(3 * first, inside), (second, inside)])
    assert found == pytest.approx(expected, abs=1e-6)


def test_likeness_equals_literal_loops_and_ignores_lengths() -> None:
    rng = np.random.default_rng(3)
    maps = [rng.normal(size=(4, 5, 6)) for _ in range(4)]
    insides = [rng.random((4, 5)) < 0.5 for _ in range(4)]
    objects = [unit(m[i]) for m, i in zip(maps, insides, strict=True)]
    grounds = [unit(m[~i]) for m, i in zip(maps, insides, strict=True)]
    matches, distances = [], []
    for i, own in enumerate(objects):
        for j, other in enumerate(objects):
            if i != j:
                best = sorted(max(float(p @ q) for q in other) for p in own)
                matches.append(np.mean(best[len(best) // 2 :]))
        pairs = [1 - p @ q for a, p in enumerate(own) for b, q in enumerate(own) if a != b]
        across = [1 - p @ q for p in own for q in grounds[i]]
        distances.append((np.mean(pairs) + np.mean(across)) / 2)
    expected = np.mean(matches) / np.mean(distances)
    found = likeness((7 * m, i) for m, i in zip(maps, insides, strict=True))
    assert found == pytest.approx(expected, rel=1e-5)


def test_copies_are_alike_and_what_cannot_be_compared_is_unknown() -> None:
    assert likeness([image(0, 1)] * 3) > 1
    assert likeness([(m, np.ones_like(i)) for m, i in (image(0, 1), image(1, 1))]) > 1
    none = np.zeros_like(INSIDE)
    assert np.isnan(likeness([image(0, 1), (image(1, 1)[0], none)]))
    assert np.isnan(likeness([]))
    flat = np.ones((8, 10, 3))
    assert np.isnan(likeness([(flat, INSIDE), (flat, INSIDE)]))
