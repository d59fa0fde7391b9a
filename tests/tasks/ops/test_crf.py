"""Mean-field inference against the literal double sum, and two laws."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tasks.ops.crf import dense_crf

SETTINGS = {
    "smooth_sigma": 1.5,
    "smooth_weight": 2.0,
    "bilateral_sigma": 2.0,
    "colour_sigma": 40.0,
    "bilateral_weight": 3.0,
}


def literal(image: np.ndarray, energy: np.ndarray, iterations: int) -> np.ndarray:
    """Every pair of pixels, from the paper's equations."""
    labels, height, width = energy.shape
    at = np.stack(np.mgrid[:height, :width], axis=-1).reshape(-1, 2).astype(float)
    colour = image.reshape(-1, 3).astype(float)
    apart = ((at[:, None] - at) ** 2).sum(-1)
    hue = ((colour[:, None] - colour) ** 2).sum(-1)
    kernels = []
    square = np.abs(at[:, None] - at).max(-1)  # the separable kernel's window is a square
    for weight, kernel, inside in [
        (2.0, np.exp(-apart / (2 * 1.5**2)), square <= 5),
        (3.0, np.exp(-apart / (2 * 2.0**2) - hue / (2 * 40.0**2)), apart <= 6**2),
    ]:
        k = np.where(inside, kernel, 0)
        root = np.sqrt(k.sum(axis=1))
        kernels.append(weight * k / root[:, None] / root)
    total = sum(kernels)
    unary = -energy.reshape(labels, -1)

    def softmax(values: np.ndarray) -> np.ndarray:
        power = np.exp(values - values.max(axis=0))
        return power / power.sum(axis=0)

    q = softmax(unary)
    for _ in range(iterations):
        q = softmax(unary + q @ total.T)
    return q.reshape(energy.shape)


@pytest.mark.parametrize("size", [(9, 13), (2, 3), (1, 1), (1, 12)])
def test_mean_field_equals_the_double_sum(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
    energy = rng.normal(size=(3, *size))
    found = dense_crf(image, energy, iterations=4, **SETTINGS)
    assert_allclose(found, literal(image, energy, 4), atol=2e-5)


def test_without_iterations_it_is_the_softmax_and_a_constant_energy_stays_even() -> None:
    image = np.full((4, 4, 3), 9, np.uint8)
    even = dense_crf(image, np.full((2, 4, 4), 7.0))
    assert_allclose(even, 0.5)
    energy = np.zeros((2, 4, 4))
    energy[0] = np.log(3)
    assert_allclose(dense_crf(image, energy, iterations=0)[1], 0.75, rtol=1e-6)


def test_a_label_flows_over_its_own_colour_and_stops_at_the_edge() -> None:
    image = np.zeros((20, 24, 3), np.uint8)
    image[:, 12:] = 255
    energy = np.full((2, 20, 24), 0.5)
    energy[0, :, 10:] = 0.7  # the coarse outline is two columns off
    energy[1, :, :10] = 0.7
    label = dense_crf(image, energy, smooth_weight=0.0, bilateral_weight=30.0).argmax(axis=0)
    assert (label[:, :12] == 0).all()
    assert (label[:, 12:] == 1).all()


def test_sizes_must_match() -> None:
    with pytest.raises(ValueError, match=r"one size; got \(4, 4\) and \(4, 5\)"):
        dense_crf(np.zeros((4, 4, 3), np.uint8), np.zeros((2, 4, 5)))
