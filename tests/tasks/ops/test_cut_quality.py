"""A cut's quality: by hand on planted scenes, and against literal sums."""

import numpy as np
import pytest
import torch

from tasks.ops.cut_quality import NO_CUT, CutQuality, cosine_deviation, cut_quality
from tasks.ops.discovery import normalised


def planted(noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Descriptors (1, 10, 12, 16) of an object on a background, and where it is."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((10, 12), dtype=bool)
    truth[2:8, 3:9] = True
    kinds = rng.normal(size=(2, 16))
    values = kinds[truth.astype(int)] + noise * rng.normal(size=(10, 12, 16))
    return values[None].astype(np.float32), truth


def test_a_clear_object_that_is_salient_is_worth_most() -> None:
    values, truth = planted(0.1)
    (found,) = cut_quality(values, truth[None].astype(np.float32))
    assert found.agreement == found.stability == found.worth == 1.0
    assert found.gap > 0.5
    # Saliency that knows nothing of the object: half of each side.
    blind = np.zeros((1, 10, 12), dtype=np.float32)
    blind[:, ::2] = 1
    (found,) = cut_quality(values, blind)
    assert (found.agreement, found.worth) == (0.5, 0.0)
    # Backwards is as good: which side is the object is decided elsewhere.
    (found,) = cut_quality(values, 1 - truth[None].astype(np.float32))
    assert found.agreement == 1.0


def test_large_grids_are_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    values, truth = planted(0.3)
    saliency = truth[None].astype(np.float32)
    thin = cut_quality(values[:, ::2, ::2], saliency[:, ::2, ::2])
    monkeypatch.setattr("tasks.ops.cut_quality.MOST", 30)  # of 120 patches
    assert cut_quality(values, saliency) == thin


def test_the_cut_of_noise_says_nothing() -> None:
    values, truth = planted(0.1)
    noise = np.random.default_rng(1).normal(size=values.shape).astype(np.float32)
    saliency = np.repeat(truth[None].astype(np.float32), 1, axis=0)
    (clear,), (lost,) = cut_quality(values, saliency), cut_quality(noise, saliency)
    assert lost.agreement < 0.6
    assert lost.stability < 0.9
    assert lost.gap < 0.3
    assert lost.worth < 0.2 < clear.worth


def test_worth_by_hand() -> None:
    assert CutQuality(0.75, 0.6, 0.1, 0.9).worth == pytest.approx(0.3)
    assert cut_quality(np.ones((1, 1, 3, 4), np.float32), np.ones((1, 1, 3), np.float32)) == [
        NO_CUT
    ]
    assert NO_CUT.worth == 0


def test_deviation_is_that_of_all_pairs() -> None:
    unit = normalised(np.random.default_rng(2).normal(size=(2, 40, 7)).astype(np.float32))
    literal = [(one @ one.T).std() for one in unit]
    np.testing.assert_allclose(cosine_deviation(unit), literal, rtol=1e-4)
    np.testing.assert_allclose(cosine_deviation(torch.from_numpy(unit)), literal, rtol=1e-4)
