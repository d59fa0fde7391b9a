"""Best buddies: mutual, injective, salient, spread; and the original's numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from tasks.ops.best_buddies import Buddies, best_buddies, spread
from tasks.ops.nearest import Nearest, nearest_both_ways
from tasks.ops.similarity import Block, binned_cosine_blocks, cosine_blocks


def nearest(values: np.ndarray) -> Nearest:
    return nearest_both_ways([Block(0, torch.from_numpy(np.asarray(values, np.float32)))])


def test_by_hand() -> None:
    # Row 0 and column 1 choose each other; row 1 prefers column 1 too; row 2 and column 2 agree.
    found = nearest(np.array([[0.1, 0.9, 0.0], [0.3, 0.8, 0.2], [0.0, 0.1, 0.4]]))
    buddies = best_buddies(found, np.array([0.5, 1, 0.2]), np.array([1, 0.3, 0.04]))
    assert_array_equal(buddies.source, [0])  # column 2 is not salient
    assert_array_equal(buddies.target, [1])
    assert buddies.similarity[0] == pytest.approx(0.9)
    assert buddies.saliency[0] == pytest.approx(0.4)
    assert_array_equal(best_buddies(found).target, [1, 2])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 15), st.integers(1, 15), st.integers(0, 99))
def test_they_are_mutual_injective_and_symmetric(n: int, m: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(n, m))
    there, back = best_buddies(nearest(values)), best_buddies(nearest(values.T))
    assert len(set(there.target.tolist())) == len(there.target) >= 1
    pairs = set(zip(there.source.tolist(), there.target.tolist(), strict=True))
    assert pairs == set(zip(back.target.tolist(), back.source.tolist(), strict=True))
    assert pairs == {
        (i, j)
        for i in range(n)
        for j in range(m)
        if values[i].argmax() == j and values[:, j].argmax() == i
    }


def test_an_image_is_its_own_best_buddy_and_a_mirror_gives_the_mirrored_patch() -> None:
    maps = torch.from_numpy(np.random.default_rng(0).normal(size=(6, 7, 8)).astype(np.float32))
    same = best_buddies(nearest_both_ways(binned_cosine_blocks(maps, maps, 2)))
    assert_array_equal(same.target, np.arange(42))
    mirrored = maps.flip(1)
    found = best_buddies(
        nearest_both_ways(cosine_blocks(maps.flatten(0, 1), mirrored.flatten(0, 1)))
    )
    assert_array_equal(found.target, np.arange(42).reshape(6, 7)[:, ::-1].ravel())


def test_spread_takes_the_most_salient_pair_of_each_group() -> None:
    directions = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    directions += np.random.default_rng(1).normal(scale=0.01, size=directions.shape)
    saliency = np.array([1, 2, 9, 3, 4, 8, 2, 1, 1, 1, 1, 7], np.float32) / 10
    buddies = Buddies(np.arange(12), np.arange(12) + 50, np.full(12, 0.5, np.float32), saliency)
    products = 2 * directions @ directions.T
    assert_array_equal(spread(buddies, products, 3).source, [2, 5, 11])
    assert_array_equal(spread(buddies, products, 12).source[:3], [2, 5, 11])
    assert len(spread(buddies, products, 30).source) == 12
    # Lengths do not count, only directions.
    lengths = np.linspace(1, 9, 12)
    assert_array_equal(spread(buddies, products * np.outer(lengths, lengths), 3).source, [2, 5, 11])


def test_equal_pairs_give_one_a_group_without_a_warning() -> None:
    buddies = Buddies(*(np.arange(6), np.arange(6), np.ones(6), np.ones(6)))
    assert len(spread(buddies, np.ones((6, 6)), 3).source) == 1


def test_nobody_salient_gives_no_pairs() -> None:
    found = nearest(np.eye(3))
    assert len(best_buddies(found, np.zeros(3), np.ones(3)).source) == 0
    nobody = best_buddies(found, np.zeros(3), np.ones(3))
    assert len(spread(nobody, np.zeros((0, 0)), 10).source) == 0


def test_errors_say_what_was_expected() -> None:
    found = nearest(np.eye(3))
    with pytest.raises(ValueError, match=r"saliency of 3 source patches; got shape \(4,\)"):
        best_buddies(found, np.zeros(4), np.zeros(3))
    with pytest.raises(ValueError, match="at least 1; got 0"):
        spread(best_buddies(found), np.eye(3), 0)
    with pytest.raises(ValueError, match=r"3 pairs, \(3, 3\); got \(2, 3\)"):
        spread(best_buddies(found), np.eye(3)[:2], 2)


@pytest.mark.data
def test_agrees_with_the_original_exactly(golden: Path) -> None:
    with np.load(golden / "best_buddies.npz") as numbers:
        source, target = (torch.from_numpy(numbers[k]) for k in ("source", "target"))
        for memory in (1, 10**9):
            found = nearest_both_ways(cosine_blocks(source, target, memory=memory))
            assert_array_equal(found.target.numpy(), numbers["nearest_target"])
            assert_array_equal(found.source.numpy(), numbers["nearest_source"])
            assert_array_equal(found.mutual.numpy(), numbers["is_best_buddy"])
        (block,) = cosine_blocks(source, target)
        np.testing.assert_allclose(block.values.numpy(), numbers["similarity"], atol=1e-6)
