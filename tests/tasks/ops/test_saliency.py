"""Saliency from attention, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.ops.saliency import saliency_from_attention


def test_mean_of_heads_stretched_to_the_unit_interval() -> None:
    attention = np.array([[[[0.1, 0.3]], [[0.3, 0.9]]]])  # (1, 2, 1, 2): means 0.2 and 0.6
    np.testing.assert_allclose(saliency_from_attention(attention), [[[0.0, 1.0]]])
    three = np.array([[[[0.2, 0.4, 0.6]]]])
    np.testing.assert_allclose(saliency_from_attention(three), [[[0, 0.5, 1]]], atol=1e-6)


def test_chosen_heads_only() -> None:
    attention = np.zeros((1, 3, 1, 2))
    attention[0, 0, 0] = [0.0, 0.5]
    attention[0, 1, 0] = [0.9, 0.0]
    attention[0, 2, 0] = [0.0, 0.1]
    np.testing.assert_allclose(saliency_from_attention(attention, [0, 2]), [[[0, 1]]])
    np.testing.assert_allclose(saliency_from_attention(attention, [1]), [[[1, 0]]])
    # All: means 0.3 and 0.2.
    np.testing.assert_allclose(saliency_from_attention(attention), [[[1, 0]]])


def test_each_image_for_itself() -> None:
    rng = np.random.default_rng(0)
    attention = rng.random((4, 3, 5, 6)) * np.array([1, 10, 1e-3, 1e-5])[:, None, None, None]
    found = saliency_from_attention(attention)
    assert found.shape == (4, 5, 6)
    assert found.dtype == np.float32
    for i in range(4):
        alone = saliency_from_attention(attention[i : i + 1])[0]
        np.testing.assert_array_equal(found[i], alone)
        assert found[i].min() == 0
        assert found[i].max() == 1


def test_a_constant_map_stands_out_nowhere() -> None:
    found = saliency_from_attention(np.full((2, 3, 4, 4), 1 / 16))
    np.testing.assert_array_equal(found, np.zeros((2, 4, 4)))
    assert not saliency_from_attention(np.zeros((1, 1, 2, 2))).any()
    # One patch alone is constant too.
    assert saliency_from_attention(np.full((1, 6, 1, 1), 0.4)).item() == 0
    # Rounding errors are no saliency.
    nearly = np.full((1, 1, 3, 3), 0.1, np.float32)
    nearly[0, 0, 1, 1] = np.nextafter(np.float32(0.1), np.float32(1))
    assert not saliency_from_attention(nearly).any()


@given(st.integers(0, 1000), st.floats(0.01, 100), st.floats(0, 10))
def test_scale_and_offset_of_the_attention_do_not_matter(
    seed: int, scale: float, offset: float
) -> None:
    attention = np.random.default_rng(seed).random((1, 2, 3, 3))
    found = saliency_from_attention(scale * attention + scale * offset)
    np.testing.assert_allclose(found, saliency_from_attention(attention), atol=1e-3)


@pytest.mark.parametrize("heads", [[6], [-1], [0, 9], []])
def test_heads_that_the_model_lacks(heads: list[int]) -> None:
    with pytest.raises(ValueError, match=r"saliency heads must lie in 0\.\.5; got"):
        saliency_from_attention(np.ones((1, 6, 2, 2)), heads)
