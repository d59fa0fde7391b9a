"""PSNR by hand."""

import numpy as np
import pytest

from tasks.ops.psnr import masked_psnr


def test_by_hand() -> None:
    true = np.zeros((2, 4, 3), np.uint8)
    rendered = true.copy()
    rendered[:, :2] = 51  # 0.2 of 1: a squared error of 0.04 on half of the pixels
    assert masked_psnr(rendered, true) == pytest.approx(-10 * np.log10(0.02))
    left = np.arange(4) < 2
    keep = np.broadcast_to(left, (2, 4))
    assert masked_psnr(rendered, true, keep) == pytest.approx(-10 * np.log10(0.04))
    assert masked_psnr(rendered, true, ~keep) == pytest.approx(80)
    assert np.isnan(masked_psnr(rendered, true, np.zeros((2, 4), bool)))


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="pictures and a mask of one size"):
        masked_psnr(np.zeros((2, 4, 3), np.uint8), np.zeros((2, 5, 3), np.uint8))
    with pytest.raises(ValueError, match=r"and \(3, 4\)"):
        masked_psnr(*np.zeros((2, 2, 4, 3), np.uint8), np.ones((3, 4), bool))
