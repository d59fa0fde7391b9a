"""Run lengths as COCO writes them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tasks.ops.rle import decode_rle, encode_rle


def test_by_hand() -> None:
    # Columns 0011, 1100 joined: runs 2, 4, 2; each below 16, so one character chr(48 + run).
    mask = np.array([[0, 1], [0, 1], [1, 0], [1, 0]], dtype=bool)
    assert encode_rle(mask) == "242"
    # 40 = 8 + 1 x 32: groups 8 with "more" and 1: chr(48 + 8 + 32), chr(48 + 1).
    assert encode_rle(np.zeros((8, 5), bool)) == "X1"
    # Starts with 1: a run of 0 comes first; the fourth run is relative: 1 - 1 = 0.
    assert encode_rle(np.array([[1], [0], [1]], dtype=bool)) == "0110"


@settings(max_examples=60, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_decoding_gives_the_mask_back(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(decode_rle(encode_rle(mask), *mask.shape), mask)


def test_runs_must_fill_the_mask() -> None:
    with pytest.raises(ValueError, match="add up to 8 pixels; expected 3 x 3 = 9"):
        decode_rle("242", 3, 3)
