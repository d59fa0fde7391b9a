"""Transfer: soft-argmax by hand, priors by their formula, and known shifts recovered."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tasks.ops.alignment import Alignment
from tasks.ops.log_bin import log_bin
from tasks.ops.patch_grid import unit
from tasks.ops.similarity import Block, patch_blocks, point_maps
from tasks.ops.transfer import Prior, grid_positions, lean, locate, locate_patches

IDENTITY = Alignment(np.array([[1.0, 0], [0, 1], [0, 0]]), 1.0)


def smooth_map(seed: int, rows: int = 12, cols: int = 14, channels: int = 16) -> torch.Tensor:
    """Random descriptors that vary slowly, as those of patches do."""
    coarse = torch.from_numpy(np.random.default_rng(seed).normal(size=(1, channels, 4, 5)))
    fine = torch.nn.functional.interpolate(coarse, (rows, cols), mode="bicubic")
    return fine[0].permute(1, 2, 0).float()


def test_soft_argmax_by_hand() -> None:
    values = torch.full((1, 5, 6), -9.0)
    values[0, 2, 3] = 1.0
    values[0, 2, 4] = 1.0 - np.log(3) * 0.1  # a third of the peak's weight
    found = locate(values, window=1, temperature=0.1)
    assert_allclose(found.row_col.numpy(), [[2, 3.25]], atol=1e-6)
    assert_allclose([found.similarity.item(), found.confidence.item()], [1, 1], atol=1e-6)
    assert_array_equal(locate(values, window=0, temperature=0.1).row_col.numpy(), [[2, 3]])


def test_two_places_that_look_alike_share_the_confidence() -> None:
    values = torch.full((1, 9, 9), -5.0)
    values[0, 1, 1] = values[0, 7, 7] = 0.5
    assert locate(values, window=1, temperature=0.05).confidence.item() == pytest.approx(0.5)


def test_a_peak_at_the_border_stays_inside() -> None:
    values = torch.zeros((1, 4, 4))
    values[0, 0, 3] = 1
    assert_allclose(locate(values, window=2, temperature=1e-3).row_col.numpy(), [[0, 3]])


def test_the_prior_by_its_formula() -> None:
    values = torch.zeros((1, 4, 5))
    leaned = lean(values, torch.tensor([[1, 2]]), IDENTITY, Prior(0.4, 2.0))[0].numpy()
    assert_allclose(leaned[1, 2], 0)
    assert_allclose(leaned[1, 3], -0.4 / 4)
    assert_allclose(leaned[2, 3], -0.4 / 2)
    assert_allclose(leaned[3, 2], -0.4)
    assert_allclose(leaned[3, 4], -0.4)  # capped


def test_the_prior_decides_between_equals_only() -> None:
    values = torch.zeros((1, 6, 6))
    values[0, 0, 0] = values[0, 5, 5] = 0.5
    at = torch.tensor([[4.0, 4.0]])
    leaned = lean(values, at, IDENTITY, Prior(0.2, 3.0))
    assert_array_equal(locate(leaned, window=0, temperature=1).row_col.numpy(), [[5, 5]])
    values[0, 0, 0] = 0.9
    leaned = lean(values, at, IDENTITY, Prior(0.2, 3.0))
    assert_array_equal(locate(leaned, window=0, temperature=1).row_col.numpy(), [[0, 0]])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 3), st.integers(0, 50), st.booleans())
def test_point_maps_equal_built_descriptors(hierarchy: int, seed: int, between: bool) -> None:
    a, b = smooth_map(seed), smooth_map(seed + 1, 9, 7)
    built = [x if hierarchy == 0 else log_bin(x, hierarchy) for x in (a, b)]
    at = torch.tensor([[3.0, 4.0], [0.0, 0.0], [11.0, 13.0]])
    expected = torch.stack([built[0][int(r), int(c)] for r, c in at])
    if between:
        at = torch.tensor([[3.25, 4.5]])
        corners = built[0][3:5, 4:6]
        weights = torch.tensor([[0.375, 0.375], [0.125, 0.125]])
        expected = (corners * weights[..., None]).sum(dim=(0, 1))[None]
    maps = point_maps(a, b, at, hierarchy)
    product = unit(expected.numpy()) @ unit(built[1].flatten(0, 1).numpy()).T
    assert_allclose(maps.flatten(1).numpy(), product, atol=3e-6)


def test_points_outside_the_grid_clamp_to_its_border() -> None:
    a = smooth_map(3)
    outside = point_maps(a, a, torch.tensor([[-2.0, 20.0]]), 2)
    border = point_maps(a, a, torch.tensor([[0.0, 13.0]]), 2)
    assert_allclose(outside.numpy(), border.numpy(), atol=1e-7)


@pytest.mark.parametrize("hierarchy", [0, 2])
def test_an_image_is_transferred_onto_itself(hierarchy: int) -> None:
    a = smooth_map(5)
    found = locate_patches(
        patch_blocks(a, a, hierarchy, memory=1), (12, 14), (12, 14), window=1, temperature=1e-4
    )
    assert_allclose(found.row_col.numpy(), grid_positions(np.arange(168), 14), atol=0.05)
    assert_allclose(found.similarity.numpy(), 1, atol=1e-5)


def test_a_shifted_crop_is_found_with_sub_patch_accuracy() -> None:
    fine = smooth_map(7, 48, 56)
    a, b = fine[0:40:4, 0:48:4], fine[3:43:4, 6:54:4]  # b starts 0.75 rows, 1.5 columns later
    truth = grid_positions(np.arange(120), 12) - [0.75, 1.5]
    inner = (truth[:, 0] > 1) & (truth[:, 1] > 1)
    errors = []
    for window in (0, 2):
        found = locate_patches(
            patch_blocks(a, b, 0), (10, 12), (10, 12), window=window, temperature=0.01
        )
        errors.append(np.abs(found.row_col.numpy() - truth)[inner].mean())
    assert errors[0] == pytest.approx((0.25 + 0.5) / 2, abs=0.02)  # the nearest whole patch
    assert errors[1] < 0.3


def test_blocks_and_prior_do_not_depend_on_the_blocks_size() -> None:
    a, b = smooth_map(8), smooth_map(9)
    results = [
        locate_patches(
            patch_blocks(a, b, 2, memory=memory),
            (12, 14),
            (12, 14),
            window=1,
            temperature=0.02,
            alignment=IDENTITY,
            prior=Prior(0.2, 3),
        )
        for memory in (1, 10**9)
    ]
    assert_allclose(results[0].row_col.numpy(), results[1].row_col.numpy(), atol=1e-4)


def test_a_patch_that_resembles_everything_is_passed_over() -> None:
    values = torch.tensor([[0.6, 0.5], [0.9, 0.1]])  # patch 0 is the best of every source patch
    plain, calmed = (
        locate_patches(
            [Block(0, values)], (1, 2), (1, 2), window=0, temperature=1.0, penalty=penalty
        )
        for penalty in (None, 0.5 * values.max(dim=0).values)
    )
    assert_array_equal(plain.row_col.numpy()[:, 1], [0, 0])
    assert_array_equal(calmed.row_col.numpy()[:, 1], [1, 0])  # 0.15 against 0.25
    assert_allclose(calmed.similarity.numpy(), [0.25, 0.45])


def test_errors_say_what_was_expected() -> None:
    with pytest.raises(ValueError, match="window >= 0 and temperature > 0; got 1 and 0"):
        locate(torch.zeros(1, 2, 2), window=1, temperature=0)
    with pytest.raises(ValueError, match="equally many channels"):
        point_maps(torch.zeros(2, 2, 3), torch.zeros(2, 2, 4), torch.zeros(1, 2), 2)
