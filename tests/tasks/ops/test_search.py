"""Search equals brute force, however the patches are cut into blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tasks.ops.search import best_of_groups, cosines, merge_hits, top_k


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 70), st.integers(0, 99))
def test_blocks_merge_to_brute_force(n: int, step: int, k: int, seed: int) -> None:
    similarity = np.random.default_rng(seed).integers(0, 9, n).astype(np.float32) / 9
    parts = [top_k(similarity[s : s + step], k, first=s) for s in range(0, n, step)]
    found = merge_hits(parts, k)
    expected = np.lexsort((np.arange(n), -similarity))[:k]
    assert_array_equal(found.row, expected)
    assert_array_equal(found.similarity, similarity[expected])


def test_cosines_of_half_precision_rows() -> None:
    rng = np.random.default_rng(0)
    block = (100 * rng.normal(size=(50, 8))).astype(np.float16)
    query = rng.normal(size=8)
    exact = block.astype(float) @ query
    exact /= np.linalg.norm(block.astype(float), axis=1) * np.linalg.norm(query)
    assert_allclose(cosines(query, block), exact, atol=1e-6)
    with pytest.raises(ValueError, match=r"expected descriptors of 8 channels, .* got 5"):
        cosines(query, np.zeros((3, 5)))


def test_the_best_of_every_group_by_hand() -> None:
    similarity = np.array([0.1, 0.9, 0.8, 0.2, 0.7, 0.3], np.float32)
    found = best_of_groups(similarity, np.array([0, 3, 5]), 2, first=10)
    assert_array_equal(found.row, [11, 14])
    assert_allclose(found.similarity, [0.9, 0.7])
