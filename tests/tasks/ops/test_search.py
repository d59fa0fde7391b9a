"""Search equals brute force in float64, however the patches are stored and cut into parts."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tasks.ops import search
from tasks.ops.search import merge_hits, nearest_rows, rough_cosines_on


def brute_force(query: np.ndarray, rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(float)
    return rows @ query / (np.linalg.norm(rows, axis=1) * np.linalg.norm(query))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 70), st.integers(0, 99))
def test_integers_in_parts_equal_brute_force(n: int, step: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(-3, 4, (n, 5)).astype(np.int8)  # many equals
    values[(values == 0).all(axis=1)] = 1
    scale = rng.uniform(0.1, 2, 5).astype(np.float32)
    query = rng.normal(size=5).astype(np.float32)
    parts = [
        nearest_rows(query, values[s : s + step], k, scale=scale, first=s)
        for s in range(0, n, step)
    ]
    found = merge_hits(parts, k)
    similarity = brute_force(query.astype(float), values * scale.astype(float))
    expected = np.lexsort((np.arange(n), -similarity.round(12)))[:k]
    assert_array_equal(found.row, expected)
    assert_allclose(found.similarity, similarity[expected], atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_neighbours_that_float32_cannot_tell_apart_come_in_their_true_order(dtype: type) -> None:
    rng = np.random.default_rng(0)
    query = rng.normal(size=384)
    near = (query + 1e-4 * rng.normal(size=(300, 384))).astype(dtype)
    similarity = brute_force(query, near)
    found = nearest_rows(query, near, 20)
    assert_array_equal(found.row, np.argsort(-similarity)[:20])


@pytest.mark.parametrize("rows", [0, 1, 7, 8])
def test_the_first_pass_of_a_gpu_gives_cosines(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_GPU_ROWS", 3)
    rng = np.random.default_rng(1)
    values, scale = rng.integers(-99, 99, (rows, 16)).astype(np.int8), rng.uniform(0.1, 2, 16)
    query = rng.normal(size=16)
    weights = (query / np.linalg.norm(query) * scale).astype(np.float32)
    found = rough_cosines_on("cpu", weights, np.square(scale).astype(np.float32), values)
    assert_allclose(found, brute_force(query, values * scale), atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_finds_the_same() -> None:
    rng = np.random.default_rng(2)
    values = rng.integers(-127, 128, (5000, 384)).astype(np.int8)
    scale, query = rng.uniform(0.01, 0.1, 384).astype(np.float32), rng.normal(size=384)
    found = nearest_rows(query, values, 100, scale=scale, device="cuda")
    expected = nearest_rows(query, values, 100, scale=scale)
    assert_array_equal(found.row, expected.row)
    assert_array_equal(found.similarity, expected.similarity)


def test_what_lies_below_the_floor_may_be_left_out_and_nothing_else() -> None:
    values = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
    found = nearest_rows(np.array([1.0, 0]), values, 3, floor=0.7)
    assert_array_equal(found.row, [0, 2])
    assert_allclose(found.similarity, [1, np.sqrt(0.5)])
    assert len(merge_hits([], 3).row) == 0


def test_other_channels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected descriptors of 8 channels, .* got 5"):
        nearest_rows(np.ones(8), np.zeros((3, 5)), 1)
