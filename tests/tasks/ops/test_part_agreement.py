"""Agreement of parts over images, counted by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tasks.ops.part_agreement import part_agreement, shuffled_agreement


def test_by_hand() -> None:
    labels = np.array([[1, 2, 0, 3], [1, 2, 0, 1], [2, 2, 0, 2], [1, 0, 3, 1]])
    # Background, 0, agrees with nothing: the third point has a part in one image of four.
    assert_allclose(part_agreement(labels), [3 / 4, 3 / 4, 1 / 4, 2 / 4])
    assert_allclose(part_agreement(np.zeros((3, 2), int)), [0, 0])


def test_shuffling_takes_away_what_the_points_know() -> None:
    sure = np.tile([1, 1, 2, 2], (50, 1))
    assert part_agreement(sure).mean() == 1
    # Half of an image's labels are 1: the commonest part of a shuffled point has about half.
    assert 0.5 <= shuffled_agreement(sure) < 0.6
    assert shuffled_agreement(sure) == shuffled_agreement(sure)
    assert shuffled_agreement(np.ones((5, 4), int)) == 1


def test_no_images_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"at least one image and point.*got \(0, 4\)"):
        part_agreement(np.zeros((0, 4), int))
