"""Votes: the paper's rule by hand, the relative rule, and sets with nothing to find."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tasks.ops.voting import (
    cls_center,
    judge_by_foreground,
    resembles,
    soft_foreground,
    vote_salient,
)

# Four images of four patches. Cluster 0 is salient in three, 1 in one, 2 only in image 3.
LABELS = [np.array([0, 0, 1, 1])] * 3 + [np.array([2, 1, 1, 1])]
SALIENCY = [np.array([0.2, 0.1, 0.0, 0.02])] * 3 + [np.array([0.9, 0.1, 0.1, 0.1])]


def test_votes_are_counted_image_by_image() -> None:
    votes = vote_salient(LABELS, SALIENCY, clusters=3, rule="votes")
    assert_array_equal(votes.sizes, [6, 9, 1])
    assert_array_equal(votes.images, [3, 4, 1])
    assert_array_equal(votes.votes, [3, 1, 1])
    assert_array_equal(votes.kept, [True, False, False])
    assert_allclose(votes.saliency, [0.15, 0.36 / 9, 0.9])
    assert_allclose(votes.image_saliency[:, 1], [0.01, 0.01, 0.01, 0.1])
    assert np.isnan(votes.image_saliency[3, 0])
    assert votes.reasons[0].startswith("kept: 3 of 4 images give it a mean saliency above 0.065")
    assert votes.reasons[1].startswith("dropped: 1 of 4")
    assert votes.warnings == ()


@pytest.mark.parametrize(("share", "kept"), [(0.75, True), (0.76, False), (0.25, True)])
def test_three_of_four_images_are_exactly_three_quarters(share: float, kept: bool) -> None:
    votes = vote_salient(LABELS, SALIENCY, clusters=3, rule="votes", share=share)
    assert votes.kept[0] == kept


def test_a_share_is_not_missed_by_a_rounding_error() -> None:
    labels = [np.zeros(1, int)] * 25
    saliency = [np.full(1, 0.5)] * 14 + [np.zeros(1)] * 11
    assert vote_salient(labels, saliency, clusters=1, rule="votes", share=0.56).kept[0]
    assert not vote_salient(labels, saliency, clusters=1, rule="votes", share=0.57).kept[0]


def test_a_saliency_equal_to_the_threshold_does_not_vote() -> None:
    labels, saliency = [np.zeros(2, int)], [np.full(2, 0.25)]
    votes = vote_salient(labels, saliency, clusters=1, rule="votes", threshold=0.25)
    assert not votes.kept[0]


def test_the_relative_rule_compares_with_the_mean_of_the_set() -> None:
    # The set's mean saliency is (0.9 + 0.36 + 0.9) / 16 = 0.135; its limit 1.1 times that.
    votes = vote_salient(LABELS, SALIENCY, clusters=3, rule="relative", ratio=1.1)
    assert_array_equal(votes.kept, [True, False, True])
    assert "limit 0.149" in votes.reasons[0]


def test_the_relative_rule_does_not_change_when_all_saliency_is_scaled() -> None:
    rng = np.random.default_rng(0)
    labels = [rng.integers(0, 5, 50) for _ in range(6)]
    saliency = [rng.random(50) * (1 + label) / 6 for label in labels]
    scaled = [0.1 * one for one in saliency]
    first = vote_salient(labels, saliency, clusters=5)
    second = vote_salient(labels, scaled, clusters=5)
    assert first.kept.any()
    assert_array_equal(first.kept, second.kept)


def test_no_saliency_keeps_nothing_and_says_so() -> None:
    votes = vote_salient(LABELS, [np.zeros(4)] * 4, clusters=3)
    assert not votes.kept.any()
    assert votes.warnings[0].startswith("no patch is salient")


def test_one_image_warns() -> None:
    votes = vote_salient(LABELS[:1], SALIENCY[:1], clusters=2, rule="votes")
    assert_array_equal(votes.kept, [True, False])
    assert votes.warnings[0].startswith("one image only")


def test_the_soft_foreground_is_above_half_exactly_where_a_kept_centre_is_nearest() -> None:
    rng = np.random.default_rng(2)
    centers = rng.normal(size=(4, 6)).astype(np.float32)
    kept = np.array([True, False, False, True])
    descriptors = rng.normal(size=(5, 7, 6))
    points = descriptors / np.linalg.norm(descriptors, axis=-1, keepdims=True)
    distances = ((points[:, :, None] - centers) ** 2).sum(-1)
    soft = soft_foreground(descriptors, centers, kept)
    assert_array_equal(soft > 0.5, kept[distances.argmin(axis=-1)])
    assert soft.min() >= 0
    assert soft.max() <= 1


def test_the_soft_foreground_of_opposite_poles_is_one_and_zero() -> None:
    poles = np.array([[1.0, 0.0], [-1.0, 0.0]])
    soft = soft_foreground(
        np.array([[2.0, 0], [-3.0, 0], [0, 1.0]]), poles, np.array([True, False])
    )
    assert_allclose(soft, [1, 0, 0.5])


@pytest.mark.parametrize("value", [True, False])
def test_all_or_no_clusters_kept_give_a_constant(value: bool) -> None:
    soft = soft_foreground(np.ones((2, 3, 4)), np.ones((2, 4)), np.full(2, value))
    assert_array_equal(soft, np.full((2, 3), float(value)))


def test_the_odd_image_out_is_an_outlier() -> None:
    cls = np.array([[1, 0.1], [1, 0], [1, -0.1], [0, 1]])
    center = cls_center(cls)
    assert center is not None
    assert_array_equal(resembles(cls, center), [True, True, True, False])
    assert cls_center(np.array([[1.0, 0], [-1.0, 1e-3]])) is None
    alone = cls_center(np.array([[3.0, 4.0]]))
    assert alone is not None
    assert_allclose(alone, [0.6, 0.8])


def test_clusters_are_judged_by_a_foreground_of_patches() -> None:
    votes = vote_salient(LABELS, SALIENCY, clusters=3)
    foreground = [np.array([1, 0.6, 0, 0])] * 2 + [
        np.array([1, 0.4, 0, 0]),
        np.array([0.2, 1, 0, 0]),
    ]
    judged = judge_by_foreground(votes, LABELS, foreground)
    assert_array_equal(judged.kept, [True, False, False])
    assert_array_equal(judged.votes, [2, 0, 0])
    assert judged.reasons[0].startswith("kept: 83% of its patches")  # 5 of 6
    assert judged.reasons[1].startswith("dropped: 11% of its patches")  # 1 of 9
    empty = judge_by_foreground(votes, LABELS, [np.zeros(4)] * 4)
    assert empty.warnings == ("nothing is salient and common enough in this set: masks are empty",)


def test_bad_calls_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        vote_salient([], [], clusters=1)
    with pytest.raises(ValueError, match="first difference at image 1"):
        vote_salient(LABELS[:2], [SALIENCY[0], np.zeros(3)], clusters=3)
    with pytest.raises(ValueError, match="rule must be one of votes, relative"):
        vote_salient(LABELS, SALIENCY, clusters=3, rule="best")  # type: ignore[arg-type]
