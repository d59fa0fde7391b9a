"""PCK by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.ops.pck import (
    box_basis,
    keypoint_basis,
    pck,
    pck_by_image,
    pck_by_point,
    relative_errors,
)


def test_by_hand() -> None:
    true = np.array([[10.0, 10], [50, 10], [10, 90]])
    predicted = true + np.array([[3, 4], [0, 8], [0, 0]])  # 5, 8 and 0 pixels off
    assert keypoint_basis(true) == 80
    assert box_basis((5, 10, 45, 30)) == 40
    errors = relative_errors(predicted, true, 80)
    assert errors.tolist() == [0.0625, 0.1, 0.0]
    assert pck(errors, 0.1) == 1  # exactly on the threshold is correct
    assert pck(errors, 0.05) == pytest.approx(1 / 3)


def test_by_point_weighs_keypoints_and_by_image_weighs_pairs() -> None:
    errors = [np.array([0.0, 0, 0]), np.array([1.0]), np.array([])]
    assert pck_by_point(errors, 0.1) == 0.75
    assert pck_by_image(errors, 0.1) == 0.5


@given(st.lists(st.floats(0, 2), min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_it_never_falls_with_alpha(errors: list[float], low: float, more: float) -> None:
    assert pck(np.array(errors), low) <= pck(np.array(errors), low + more)


def test_errors_say_what_was_expected() -> None:
    with pytest.raises(ValueError, match=r"shape \(P, 2\); got \(3, 2\) and \(2, 2\)"):
        relative_errors(np.zeros((3, 2)), np.zeros((2, 2)), 1)
    with pytest.raises(ValueError, match="positive length; got 0"):
        relative_errors(np.zeros((3, 2)), np.zeros((3, 2)), 0)
