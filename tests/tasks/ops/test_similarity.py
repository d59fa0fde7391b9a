"""Blocks of cosines against the full matrix of descriptors that do exist."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tasks.ops.log_bin import log_bin, pooled_levels
from tasks.ops.nearest import nearest_both_ways
from tasks.ops.patch_grid import unit
from tasks.ops.similarity import (
    Block,
    binned_cosine_blocks,
    binned_norms,
    both_ways_round,
    cosine_blocks,
    inner_products,
    patch_blocks,
)

SIDE = st.integers(1, 7)


def random_map(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def together(blocks: list[Block]) -> np.ndarray:
    starts = np.cumsum([0, *(len(b.values) for b in blocks)])[:-1]
    assert [b.start for b in blocks] == starts.tolist()
    return torch.cat([b.values for b in blocks]).numpy()


@settings(max_examples=40, deadline=None)
@given(SIDE, SIDE, SIDE, SIDE, st.integers(1, 3), st.sampled_from([1, 4000, 10**9]))
def test_binned_blocks_equal_the_product_of_built_bins(
    rows: int, cols: int, other_rows: int, other_cols: int, hierarchy: int, memory: int
) -> None:
    a, b = random_map(1, rows, cols, 4), random_map(2, other_rows, other_cols, 4)
    built = [unit(log_bin(x, hierarchy).flatten(0, 1).numpy()) for x in (a, b)]
    blocks = list(binned_cosine_blocks(a, b, hierarchy, memory=memory))
    assert_allclose(together(blocks), built[0] @ built[1].T, atol=2e-6)
    if memory == 1:
        assert len(blocks) == rows


@settings(max_examples=30, deadline=None)
@given(SIDE, SIDE, SIDE, SIDE, st.integers(0, 3), st.sampled_from([1, 6000, 10**9]))
def test_both_ways_round_equal_a_source_that_was_mirrored(
    rows: int, cols: int, other_rows: int, other_cols: int, hierarchy: int, memory: int
) -> None:
    a, b = random_map(1, rows, cols, 4), random_map(2, other_rows, other_cols, 4)
    found = list(zip(*both_ways_round(a, b, hierarchy, memory=memory), strict=True))
    for blocks, source in zip(found, (a, a.flip(1)), strict=True):
        expected = together(list(patch_blocks(source, b, hierarchy)))
        assert_allclose(together(list(blocks)), expected, atol=2e-6)
    assert len(found[0]) == rows if memory == 1 else len(found[0]) <= rows


@pytest.mark.parametrize("hierarchy", [0, 1, 2, 3])
@pytest.mark.parametrize("patches", [[3, 29, 0], [*range(30), 7]])
def test_inner_products_equal_those_of_the_built_bins(hierarchy: int, patches: list[int]) -> None:
    a = random_map(7, 5, 6, 4)
    built = (log_bin(a, hierarchy) if hierarchy else a).flatten(0, 1)[patches].double()
    found = inner_products(a, torch.tensor(patches), hierarchy)
    assert_allclose(found.numpy(), (built @ built.T).numpy(), atol=1e-4)


@pytest.mark.parametrize("memory", [1, 4 * 9 * 3, 10**9])
def test_plain_blocks_equal_the_full_product(memory: int) -> None:
    a, b = random_map(3, 8, 5), random_map(4, 9, 5)
    blocks = list(cosine_blocks(a, b, memory=memory))
    assert len(blocks) == {1: 8, 108: 3, 10**9: 1}[memory]
    assert_allclose(together(blocks), unit(a.numpy()) @ unit(b.numpy()).T, atol=1e-6)


def test_norms_are_those_of_the_built_bins() -> None:
    a = random_map(5, 6, 7, 3)
    expected = log_bin(a, 3).norm(dim=-1)
    assert_allclose(binned_norms(pooled_levels(a, 3)).numpy(), expected.numpy(), rtol=1e-6)


def test_a_map_with_itself_has_cosine_one_on_the_diagonal_and_never_above() -> None:
    a = random_map(6, 5, 6, 8)
    values = together(list(binned_cosine_blocks(a, a, 2)))
    assert_allclose(np.diag(values), 1, atol=1e-6)
    assert values.max() <= 1 + 1e-6
    assert_allclose(values, values.T, atol=1e-6)


def test_different_channels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"equally many channels; got \(2, 2, 3\) and \(2, 2, 4\)"):
        list(binned_cosine_blocks(torch.zeros(2, 2, 3), torch.zeros(2, 2, 4), 2))
    with pytest.raises(ValueError, match="equally many channels"):
        list(cosine_blocks(torch.zeros(2, 3), torch.zeros(2, 4)))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 5), st.integers(0, 99))
def test_nearest_neighbours_do_not_depend_on_the_blocks(
    n: int, m: int, step: int, seed: int
) -> None:
    values = np.random.default_rng(seed).integers(0, 4, size=(n, m)).astype(np.float32)
    blocks = [Block(s, torch.from_numpy(values[s : s + step])) for s in range(0, n, step)]
    found = nearest_both_ways(blocks)
    assert_array_equal(found.target.numpy(), values.argmax(axis=1))
    assert_array_equal(found.source.numpy(), values.argmax(axis=0))
    assert_array_equal(found.similarity.numpy(), values.max(axis=1))
    assert_array_equal(found.back_similarity.numpy(), values.max(axis=0))


def test_nearest_needs_patches() -> None:
    with pytest.raises(ValueError, match="at least one patch on each side"):
        nearest_both_ways([])
    with pytest.raises(ValueError, match="at least one patch on each side"):
        nearest_both_ways([Block(0, torch.zeros(3, 0))])
