"""Overlap of masks, counted by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.ops.metrics import jaccard, precision

A = np.array([[1, 1, 0], [1, 0, 0]], dtype=bool)
B = np.array([[1, 0, 0], [1, 1, 0]], dtype=bool)


def test_by_hand() -> None:
    assert jaccard(A, B) == pytest.approx(2 / 4)
    assert precision(A, B) == pytest.approx(4 / 6)
    assert jaccard(A, ~A) == 0
    assert precision(A, ~A) == 0


def test_empty_masks() -> None:
    nothing = np.zeros((2, 3), bool)
    assert jaccard(nothing, nothing) == 1
    assert jaccard(A, nothing) == 0
    assert precision(A, nothing) == pytest.approx(3 / 6)


@given(st.integers(0, 10_000))
def test_laws(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.random((2, 7, 5)) < rng.random((2, 1, 1))
    assert jaccard(a, b) == jaccard(b, a)
    assert jaccard(a, a) == precision(a, a) == 1
    assert 0 <= jaccard(a, b) <= 1
    # J = I / U and P = 1 - (U - I) / n.
    union = np.count_nonzero(a | b)
    assert precision(a, b) == pytest.approx(1 - (1 - jaccard(a, b)) * union / 35)
    assert jaccard(a & b, a) <= 1


@pytest.mark.parametrize("measure", [jaccard, precision])
def test_masks_of_two_sizes(measure: object) -> None:
    assert callable(measure)
    with pytest.raises(ValueError, match=r"of one size; got \(2, 3\) and \(3, 2\)"):
        measure(A, B.T)
