"""Sketches keep cosines: exactly where nothing is dropped, measurably elsewhere."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tasks.ops.patch_grid import unit
from tasks.ops.sketch import fit_sketch, measure_sketch, sketch, sketch_cosine


def low_rank(seed: int, count: int, rank: int = 6, channels: int = 40) -> np.ndarray:
    """Descriptors that lie in one and the same `rank`-dimensional space for every seed."""
    mix = np.random.default_rng(0).normal(size=(rank, channels))
    return np.random.default_rng(seed).normal(size=(count, rank)) @ mix


def test_without_dropped_channels_only_rounding_remains() -> None:
    first, second = low_rank(1, 200), low_rank(2, 150)
    basis = fit_sketch(np.concatenate([first, second]), channels=6)
    rough = sketch_cosine(sketch(first, basis), sketch(second, basis), basis)
    # Half a level in each of 6 channels of both sides, at most 1 / 127 of the largest value.
    assert_allclose(rough, unit(first) @ unit(second).T, atol=6 / 127)
    assert np.abs(rough - unit(first) @ unit(second).T).mean() < 0.005


def test_axes_are_orthonormal_and_levels_use_the_whole_range() -> None:
    vectors = low_rank(3, 300)
    basis = fit_sketch(vectors, channels=5)
    assert_allclose(basis.axes @ basis.axes.T, np.eye(5), atol=1e-5)
    levels = sketch(vectors, basis)
    assert levels.dtype == np.int8
    assert levels.shape == (300, 5)
    assert (np.abs(levels).max(axis=0) == 127).all()


def test_length_does_not_matter() -> None:
    vectors = low_rank(4, 50)
    basis = fit_sketch(vectors, channels=6)
    assert (sketch(vectors, basis) == sketch(vectors * 7.5, basis)).all()


def test_measured_errors_fall_with_more_channels() -> None:
    rng = np.random.default_rng(5)
    images = [rng.normal(size=(9, 11, 32)) * 0.9 ** np.arange(32) for _ in range(3)]
    flat = np.concatenate([image.reshape(-1, 32) for image in images])
    errors = [measure_sketch(images, fit_sketch(flat, channels)) for channels in (4, 16, 32)]
    assert errors[0].mean > errors[1].mean > errors[2].mean
    assert errors[2].mean < 0.005
    assert errors[2].same_best > 0.95
    assert errors[0].high >= errors[0].mean


def test_one_image_is_compared_with_itself() -> None:
    image = np.random.default_rng(6).normal(size=(5, 5, 8))
    assert measure_sketch([image], fit_sketch(image.reshape(-1, 8), 8)).same_best == 1.0


def test_no_descriptor_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one descriptor to fit a sketch, got none"):
        fit_sketch(np.empty((0, 8)))


def test_a_large_common_mean_does_not_use_up_the_levels() -> None:
    """Keys look like this: nearly parallel, and all that tells them apart is small."""
    rng = np.random.default_rng(7)
    vectors = rng.normal(size=(300, 16)) * 0.01
    vectors[:, 0] += 1
    basis = fit_sketch(vectors, channels=16)
    rough = sketch_cosine(sketch(vectors, basis), sketch(vectors, basis), basis)
    exact = unit(vectors) @ unit(vectors).T
    assert exact.min() > 0.99
    assert np.corrcoef(rough.ravel(), exact.ravel())[0, 1] > 0.999


def test_more_channels_than_samples_gives_the_same_axes() -> None:
    """Log-binned descriptors are longer than a sample is large."""
    vectors = low_rank(8, 30, rank=5, channels=200)
    basis = fit_sketch(vectors, channels=16)
    assert basis.axes.shape == (5, 200)  # no more than the sample spans
    assert_allclose(basis.axes @ basis.axes.T, np.eye(5), atol=1e-4)
    rough = sketch_cosine(sketch(vectors, basis), sketch(vectors, basis), basis)
    assert_allclose(rough, unit(vectors) @ unit(vectors).T, atol=0.02)
