"""Parts and landmarks, by hand."""

import numpy as np
import pytest

from tasks.ops.landmarks import part_agreement_of, part_centres, regress_landmarks

NAN = float("nan")


def test_equal_partitions_agree_whatever_their_names() -> None:
    assert part_agreement_of(np.array([0, 0, 1, 1]), np.array([5, 5, 2, 2])) == (1, 1)


def test_agreement_by_hand() -> None:
    """Two landmarks over two parts; half of the second's points lie in the first's part.

    Mutual information over the mean entropy: H(L) = ln 2, H(P) = H(3/4, 1/4).
    """
    landmarks, parts = np.array([0, 0, 1, 1]), np.array([1, 1, 1, 2])
    joint = {(0, 1): 0.5, (1, 1): 0.25, (1, 2): 0.25}
    shares = {1: 0.75, 2: 0.25}
    information = sum(p * np.log(p / (0.5 * shares[part])) for (_, part), p in joint.items())
    entropies = np.log(2), -sum(p * np.log(p) for p in shares.values())
    found = part_agreement_of(landmarks, parts)
    assert found.nmi == pytest.approx(information / np.mean(entropies))
    # Pairs: together in both 1, landmarks 2, parts 3, all 6; expected 2 * 3 / 6 = 1.
    assert found.ari == pytest.approx((1 - 1) / ((2 + 3) / 2 - 1))


def test_centres_are_shares_of_the_box() -> None:
    labels = np.zeros((10, 20), int)
    labels[2:4, 4:8] = 1
    labels[9, 19] = 3
    centres = part_centres(labels, 3, (2.0, 1.0, 10.0, 8.0))
    np.testing.assert_allclose(centres[0], [(6 - 2) / 10, (3 - 1) / 8])
    assert np.isnan(centres[1]).all()
    np.testing.assert_allclose(centres[2], [(19.5 - 2) / 10, (9.5 - 1) / 8])


def test_landmarks_that_follow_the_parts_are_found() -> None:
    rng = np.random.default_rng(0)
    centres = rng.random((40, 3, 2))
    points = np.stack([centres[:, 0] * 0.5 + 0.1, centres[:, 1] - centres[:, 2]], axis=1)
    seen = points.copy()
    seen[::3, 0] = NAN
    np.testing.assert_allclose(
        regress_landmarks(centres[:30], seen[:30], centres[30:]), points[30:]
    )


def test_what_is_never_seen_is_unknown_and_missing_parts_lie_in_their_middle() -> None:
    centres = np.array([[[0.0, 0.0]], [[1.0, 1.0]], [[0.5, 0.5]]])
    points = np.array(
        [[[0.0, 2.0], [NAN, NAN]], [[1.0, 4.0], [NAN, NAN]], [[0.5, 3.0], [NAN, NAN]]]
    )
    found = regress_landmarks(centres, points, np.array([[[NAN, NAN]]]))
    np.testing.assert_allclose(found[0, 0], [0.5, 3.0])
    assert np.isnan(found[0, 1]).all()
