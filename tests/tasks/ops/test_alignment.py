"""Affine consensus: the truth is found among wrong matches, and nonsense gives none."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tasks.ops.alignment import LocalAlignment, fit_alignment

TRUTH = np.array([[0.8, 0.2], [-0.3, 1.1], [4.0, -2.0]])


def grid(rows: int = 12, cols: int = 12) -> np.ndarray:
    return np.stack(np.mgrid[:rows, :cols], axis=-1).reshape(-1, 2).astype(float)


def mapped(points: np.ndarray) -> np.ndarray:
    return points @ TRUTH[:2] + TRUTH[2]


def test_exact_matches_give_the_map_itself() -> None:
    found = fit_alignment(grid(), mapped(grid()), np.ones(144))
    assert found is not None
    assert_allclose(found.matrix, TRUTH, atol=1e-9)
    assert found.support == pytest.approx(1)
    assert_allclose(found.apply(np.array([1.5, 2.0])), mapped(np.array([1.5, 2.0])), atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_two_thirds_of_wrong_matches_do_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    target = mapped(grid()) + rng.normal(scale=0.2, size=(144, 2))
    wrong = rng.permutation(144)[:96]
    target[wrong] = rng.uniform(-5, 25, size=(96, 2))
    found = fit_alignment(grid(), target, np.ones(144), tolerance=1.5)
    assert found is not None
    assert np.linalg.norm(found.apply(grid()) - mapped(grid()), axis=1).max() < 0.6
    assert 0.3 < found.support < 0.55


def test_weightless_matches_are_ignored() -> None:
    target = mapped(grid())
    target[72:] += 40
    weights = np.repeat([1.0, 0.0], 72)
    found = fit_alignment(grid(), target, weights)
    assert found is not None
    assert_allclose(found.matrix, TRUTH, atol=1e-9)


def test_too_few_or_collinear_matches_give_none() -> None:
    assert fit_alignment(grid()[:3], grid()[:3], np.ones(3)) is None
    assert fit_alignment(grid(1, 50), grid(1, 50), np.ones(50)) is None
    assert fit_alignment(grid(), 9 * grid(), np.ones(144)) is None  # stretched by more than 3


def test_a_bent_map_follows_the_matches_around_a_place_and_the_whole_elsewhere() -> None:
    source = grid()
    target = mapped(source)
    corner = (source < 4).all(axis=1)
    target[corner] += [1.0, -0.5]  # a part that deviates
    whole = fit_alignment(source, target, np.ones(144))
    assert whole is not None
    bent = LocalAlignment(whole, source, target, np.ones(144), tolerance=3.0, width=1.5)
    deviation = bent.apply(np.array([[1.0, 1.0]])) - mapped(np.array([[1.0, 1.0]]))
    assert_allclose(deviation[0], [1.0, -0.5], atol=0.1)
    assert_allclose(bent.apply(np.array([[9.0, 9.5]])), mapped(np.array([[9.0, 9.5]])), atol=0.05)
    far = np.array([[90.0, 90.0]])  # no match is near: the whole map holds
    assert_allclose(bent.apply(far), whole.apply(far), atol=1e-6)
    assert bent.apply(np.zeros((0, 2))).shape == (0, 2)


def test_bending_leaves_an_affine_map_as_it_is() -> None:
    whole = fit_alignment(grid(), mapped(grid()), np.ones(144))
    assert whole is not None
    bent = LocalAlignment(whole, grid(), mapped(grid()), np.ones(144), tolerance=3.0, width=2.0)
    places = np.random.default_rng(0).uniform(0, 11, size=(600, 2))
    assert_allclose(bent.apply(places), mapped(places), atol=1e-6)
