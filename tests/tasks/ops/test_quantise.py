"""Integers that stay within half a step, and axes that keep dot products."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tasks.ops.pca import fit_axes, project
from tasks.ops.quantise import LEVELS, dequantise, quantise_batch

floats = st.floats(-60_000, 60_000, width=32)


class Packed(NamedTuple):
    values: np.ndarray
    scale: np.ndarray


def quantise(image: np.ndarray) -> Packed:
    """One image alone."""
    values, scale = quantise_batch(torch.from_numpy(np.asarray(image, np.float32))[None])
    return Packed(values[0].numpy(), scale[0].numpy())


def literally(image: np.ndarray) -> Packed:
    """By the definition, channel by channel."""
    values = np.zeros(image.shape, np.int8)
    scale = np.ones(image.shape[-1], np.float32)
    for channel in range(image.shape[-1]):
        peak = np.abs(image[..., channel]).max()
        if peak > 0:
            scale[channel] = peak / np.float32(LEVELS)
            values[..., channel] = np.rint(image[..., channel] / scale[channel])
    return Packed(values, scale)


@given(arrays(np.float32, (3, 2, 4), elements=floats))
def test_the_error_is_at_most_half_a_step(values: np.ndarray) -> None:
    packed = quantise(values)
    assert packed.values.dtype == np.int8
    assert np.abs(packed.values.astype(int)).max() <= LEVELS
    assert (packed.scale > 0).all()
    error = np.abs(dequantise(*packed).astype(np.float64) - values)
    assert (error <= packed.scale * 0.5001).all()


def test_a_hand_computed_channel() -> None:
    packed = quantise(np.array([[0.0, 0.0], [63.0, 0.0], [-31.6, 0.0]]))
    np.testing.assert_array_equal(packed.values, [[0, 0], [63, 0], [-32, 0]])
    np.testing.assert_array_equal(packed.scale, [1.0, 1.0])


def test_the_largest_magnitude_is_kept_exactly() -> None:
    values = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    back = dequantise(*quantise(values))
    peak = np.abs(values).argmax(axis=0)
    np.testing.assert_allclose(back[peak, np.arange(8)], values[peak, np.arange(8)], rtol=3e-7)


def test_cosines_to_the_original_stay_near_one() -> None:
    values = np.random.default_rng(0).normal(size=(400, 384))
    back = dequantise(*quantise(values))
    cosine = (values * back).sum(1) / np.linalg.norm(values, axis=1) / np.linalg.norm(back, axis=1)
    assert cosine.min() > 0.9995


def test_axes_of_a_plane_keep_every_dot_product_in_it() -> None:
    rng = np.random.default_rng(0)
    plane = np.linalg.qr(rng.normal(size=(10, 2)))[0]
    sample = rng.normal(size=(100, 2)) * [3.0, 1.0] @ plane.T
    found = fit_axes(sample, 2)
    np.testing.assert_allclose(found.axes.T @ found.axes, np.eye(2), atol=1e-6)
    assert found.explained.sum() == pytest.approx(1)
    assert found.variance.sum() == pytest.approx(1)
    low = project(sample, found.axes)
    np.testing.assert_allclose(low @ low.T, sample @ sample.T, atol=1e-4)


def test_shares_fall_and_match_their_definition() -> None:
    sample = np.random.default_rng(1).normal(size=(300, 6)) * [6, 5, 4, 3, 2, 1] + 1
    found = fit_axes(sample, 3)
    assert (np.diff(found.explained) <= 0).all()
    kept = (project(sample, found.axes).astype(np.float64) ** 2).sum() / (sample**2).sum()
    assert found.explained.sum() == pytest.approx(kept, rel=1e-5)
    spread = project(sample, found.axes).var(axis=0).sum() / sample.var(axis=0).sum()
    assert found.variance.sum() == pytest.approx(spread, rel=1e-5)
    # No other three axes keep more: Eckart and Young.
    singular = np.linalg.svd(sample, compute_uv=False) ** 2
    assert found.explained.sum() == pytest.approx(singular[:3].sum() / singular.sum())


@pytest.mark.parametrize(("shape", "count"), [((5, 4), 5), ((3, 8), 4), ((5, 4), 0), ((8,), 1)])
def test_too_small_a_sample_is_refused(shape: tuple[int, ...], count: int) -> None:
    with pytest.raises(ValueError, match="expected a sample"):
        fit_axes(np.ones(shape), count)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_each_image_of_a_batch_is_rounded_by_the_definition(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    batch = (torch.randn(3, 4, 5, 8, generator=generator) * 20).to(dtype)
    batch[0, ..., 2] = 0  # a channel without any value
    values, scale = quantise_batch(batch)
    for i in range(3):
        alone = literally(batch[i].float().numpy())
        np.testing.assert_array_equal(values[i].numpy(), alone.values)
        np.testing.assert_array_equal(scale[i].numpy(), alone.scale)
