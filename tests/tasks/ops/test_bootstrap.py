"""Means of benchmark items by hand, and intervals against theory."""

import numpy as np
import pytest

from tasks.ops.bootstrap import KINDS, Kind, Samples, percentile_interval, resample, statistic

NAN = float("nan")


@pytest.fixture
def four() -> Samples:
    """Two scores of four items in two groups; one item lacks the second."""
    values = np.array([[1.0, 0.5], [0.0, NAN], [0.5, 1.0], [1.0, 0.0]])
    return Samples(values, np.array([1.0, 3.0, 2.0, 2.0]), np.array([0, 0, 0, 1]))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("items", [2.5 / 4, 1.5 / 3]),
        ("sizes", [(1 + 0 + 1 + 2) / 8, (0.5 + 2 + 0) / 5]),
        ("groups", [(1.5 / 3 + 1) / 2, (1.5 / 2 + 0) / 2]),
        ("groups by sizes", [(2 / 6 + 1) / 2, (2.5 / 3 + 0) / 2]),
    ],
)
def test_means_by_hand(four: Samples, kind: Kind, expected: list[float]) -> None:
    np.testing.assert_allclose(statistic(four, kind), expected)


def test_a_score_that_no_item_has_is_unknown() -> None:
    nothing = Samples(np.array([[NAN], [NAN]]), np.ones(2), np.zeros(2, int))
    assert np.isnan(statistic(nothing, "items")).all()


@pytest.mark.parametrize("kind", KINDS)
def test_draws_are_the_same_however_many_are_held(
    four: Samples, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = resample(four, kind, rounds=50, seed=3)
    assert whole.shape == (50, 2)
    if not kind.startswith("groups"):  # strata are drawn one after the other
        monkeypatch.setattr("tasks.ops.bootstrap._AT_ONCE", 28)
        np.testing.assert_array_equal(resample(four, kind, rounds=50, seed=3), whole)


def test_the_spread_is_that_of_the_mean() -> None:
    values = np.random.default_rng(0).random((400, 1))
    draws = resample(Samples(values, np.ones(400), np.zeros(400, int)), "items", rounds=2000)
    error = values.std() / 20
    assert draws.std() == pytest.approx(error, rel=0.05)
    low, high = percentile_interval(draws)[:, 0]
    np.testing.assert_allclose(
        [low, high], values.mean() + 1.96 * error * np.array([-1, 1]), atol=0.1 * error
    )


def test_a_score_that_few_items_have_keeps_its_interval() -> None:
    """Many draws hold neither of the two; of the others the interval is that of the two."""
    values = np.full((60, 2), NAN)
    values[3, 0], values[4, 0] = 0.5, 0.7
    draws = resample(Samples(values, np.ones(60), np.zeros(60, int)), "items")
    assert 50 < np.isnan(draws[:, 0]).sum() < 250
    low, high = percentile_interval(draws)
    np.testing.assert_allclose([low[0], high[0]], [0.5, 0.7])
    assert np.isnan([low[1], high[1]]).all()


def test_groups_of_one_do_not_vary() -> None:
    single = Samples(np.array([[0.2], [0.8]]), np.ones(2), np.array([0, 1]))
    np.testing.assert_allclose(resample(single, "groups", rounds=20), 0.5)
    assert resample(single, "items", rounds=20).std() > 0
