"""J, F and their statistics: hand-made masks, the official tool's numbers, laws."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tasks.ops.davis_metrics import boundary_f, contour, jaccard, summarise

masks = hnp.arrays(bool, (7, 9))


def block(top: int, left: int, height: int, width: int) -> np.ndarray:
    mask = np.zeros((20, 30), dtype=bool)
    mask[top : top + height, left : left + width] = True
    return mask


def reference_f(truth: np.ndarray, found: np.ndarray, radius: int) -> float:
    """Contours and distances pixel by pixel."""

    def points(mask: np.ndarray) -> list[tuple[int, int]]:
        height, width = mask.shape
        return [
            (y, x)
            for y, x in itertools.product(range(height), range(width))
            if any(
                mask[y, x] != mask[min(y + dy, height - 1), min(x + dx, width - 1)]
                for dy, dx in ((0, 1), (1, 0), (1, 1))
            )
        ]

    def share(some: list[tuple[int, int]], others: list[tuple[int, int]]) -> float:
        if not some:
            return 1.0
        near = [any(math.dist(a, b) <= radius for b in others) for a in some]
        return sum(near) / len(near)

    ours, theirs = points(found), points(truth)
    if not ours and not theirs:
        return 1.0
    precision, recall = share(ours, theirs), share(theirs, ours)
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


def test_jaccard_by_hand() -> None:
    # 4x5 and 4x5 shifted by two columns: 12 pixels shared of 28.
    assert jaccard(block(2, 3, 4, 5), block(2, 5, 4, 5)) == 12 / 28
    assert jaccard(block(2, 3, 4, 5), block(10, 3, 4, 5)) == 0


def test_empty_masks() -> None:
    nothing, something = block(0, 0, 0, 0), block(2, 3, 4, 5)
    assert jaccard(nothing, nothing) == boundary_f(nothing, nothing) == 1
    for pair in ((nothing, something), (something, nothing)):
        assert jaccard(*pair) == boundary_f(*pair) == 0


def test_void_pixels_do_not_count() -> None:
    truth, found = block(2, 3, 4, 5), block(2, 3, 4, 9)
    void = block(2, 8, 4, 4)
    assert jaccard(truth, found) == 20 / 36
    assert jaccard(truth, found, void) == 1
    assert boundary_f(truth, found, void, tolerance=1) == 1


def test_contour_by_hand() -> None:
    mask = np.zeros((4, 4), dtype=bool)
    mask[1:3, 1:3] = True
    expected = [[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(contour(mask), np.array(expected, dtype=bool))


@settings(max_examples=50, deadline=None)
@given(truth=masks, found=masks, radius=st.integers(1, 3))
def test_boundary_f_is_its_definition(truth: np.ndarray, found: np.ndarray, radius: int) -> None:
    expected = reference_f(truth, found, radius)
    assert boundary_f(truth, found, tolerance=radius) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(a=masks, b=masks)
def test_laws(a: np.ndarray, b: np.ndarray) -> None:
    assert jaccard(a, b) == jaccard(b, a)
    assert boundary_f(a, b) == pytest.approx(boundary_f(b, a))
    assert jaccard(a, a) == boundary_f(a, a) == 1
    assert boundary_f(a, b, tolerance=1) <= boundary_f(a, b, tolerance=3) + 1e-12


def test_the_tolerance_is_a_share_of_the_diagonal() -> None:
    # 854x480: the diagonal is 979.6 pixels, 0.008 of it 7.8, so 8 pixels away is near.
    truth = np.zeros((480, 854), dtype=bool)
    truth[100:200, 100:300] = True
    shifted = [np.roll(truth, s, axis=1) for s in (8, 9)]
    assert boundary_f(truth, shifted[0]) == 1
    assert boundary_f(truth, shifted[1]) < 1


def test_statistics_by_hand() -> None:
    values = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]
    score = summarise(values)
    assert score.mean == pytest.approx(0.6)
    assert score.recall == pytest.approx(5 / 9)
    # Borders at frames 1, 3, 5, 7, 9: the first quarter holds 1.0 to 0.8, the last 0.4 to 0.2.
    assert score.decay == pytest.approx(0.9 - 0.3)


def test_statistics_of_one_frame() -> None:
    assert summarise([0.75]) == (0.75, 1.0, 0.0)


@pytest.mark.data
def test_the_official_numbers(golden: Path) -> None:
    with np.load(golden / "davis_metrics.npz") as file:
        truth, found = file["annotation"], file["segmentation"]
        expected_j, expected_f = file["jaccard"], file["boundary_f"]
    pairs = list(zip(truth, found, strict=True))
    np.testing.assert_allclose([jaccard(*pair) for pair in pairs], expected_j, atol=1e-6)
    np.testing.assert_allclose([boundary_f(*pair) for pair in pairs], expected_f, atol=1e-6)


def test_errors_say_what_came() -> None:
    with pytest.raises(ValueError, match=r"one size; got \(3, 4\) and \(4, 3\)"):
        jaccard(np.zeros((3, 4)), np.zeros((4, 3)))
    with pytest.raises(ValueError, match="one size"):
        boundary_f(np.zeros((3, 4)), np.zeros((4, 3)))
    with pytest.raises(ValueError, match="at least one scored frame"):
        summarise([])
