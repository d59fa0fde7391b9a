"""Where patches lie, with numbers worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.ops.kinds import Fit
from tasks.ops.patch_grid import PatchGrid, check_stride, plan_grid, unit

FITS: tuple[Fit, ...] = ("short", "long", "square", "pad", "native")


@pytest.mark.parametrize(
    ("fit", "resized", "canvas", "offset", "shape"),
    [
        # 500 x 375, size 224, patch 14, stride 7: 500 * 224 / 375 = 298.67 -> 299 -> 294 = 21 * 14.
        ("short", (294, 224), (294, 224), (0, 0), (31, 41)),
        # 375 * 224 / 500 = 168 = 12 * 14.
        ("long", (224, 168), (224, 168), (0, 0), (23, 31)),
        ("square", (224, 224), (224, 224), (0, 0), (31, 31)),
        ("pad", (224, 168), (224, 224), (0, 28), (31, 31)),
        # 500 -> 504 = 36 * 14, 375 -> 378 = 27 * 14.
        ("native", (500, 375), (504, 378), (0, 0), (53, 71)),
    ],
)
def test_every_fit_by_hand(
    fit: Fit,
    resized: tuple[int, int],
    canvas: tuple[int, int],
    offset: tuple[int, int],
    shape: tuple[int, int],
) -> None:
    grid = plan_grid(500, 375, patch=14, stride=(7, 7), size=224, fit=fit)
    assert grid == PatchGrid(*shape, 14, (7, 7), (500, 375), resized, offset, canvas)
    assert grid.shape == shape


def test_multiple_of_the_video_protocol() -> None:
    # Short side 480, the other one, 854, floored to a multiple of 64: 832.
    grid = plan_grid(854, 480, patch=8, stride=(8, 8), size=480, multiple=64)
    assert (grid.canvas, grid.shape) == ((832, 480), (60, 104))


def test_multiple_of_one_keeps_the_ratio() -> None:
    # Amir et al.: 1 + (side - patch) // stride with sides as they come.
    grid = plan_grid(500, 375, patch=8, stride=(4, 4), size=224, multiple=1)
    assert grid.canvas == (299, 224)
    assert grid.shape == (1 + (224 - 8) // 4, 1 + (299 - 8) // 4) == (55, 73)


def test_a_sliver_keeps_at_least_one_patch() -> None:
    grid = plan_grid(1000, 10, patch=14, stride=(14, 14), size=224, fit="long")
    assert grid.canvas == (224, 14)
    assert grid.shape == (1, 16)


def test_strides_are_vertical_then_horizontal() -> None:
    grid = plan_grid(64, 64, patch=8, stride=(2, 8), size=64)
    assert grid.shape == (29, 8)
    np.testing.assert_array_equal(grid.to_xy(np.array([1, 0])), [4, 6])
    np.testing.assert_array_equal(grid.to_xy(np.array([0, 1])), [12, 4])


def test_centres_in_original_pixels_by_hand() -> None:
    # Half size: canvas 32 x 16 of an image of 64 x 32; a patch of 8 spans 16 original pixels.
    grid = plan_grid(64, 32, patch=8, stride=(8, 8), size=16)
    assert grid.shape == (2, 4)
    centres = grid.centers_xy()
    assert centres.shape == (8, 2)
    np.testing.assert_array_equal(centres[:5], [[8, 8], [24, 8], [40, 8], [56, 8], [8, 24]])


def test_centres_of_a_padded_square_by_hand() -> None:
    # 40 x 20 becomes 16 x 8, laid 4 pixels below the top of 16 x 16.
    grid = plan_grid(40, 20, patch=8, stride=(4, 4), size=16, fit="pad")
    assert (grid.resized, grid.offset, grid.shape) == ((16, 8), (0, 4), (3, 3))
    # Patch (1, 1): canvas centre (8, 8), image (8, 4), times 2.5.
    np.testing.assert_allclose(grid.to_xy(np.array([1, 1])), [20, 10])
    # The first row's centre lies on the image's upper edge.
    np.testing.assert_allclose(grid.to_xy(np.array([0, 0])), [10, 0])


@given(
    width=st.integers(8, 3000),
    height=st.integers(8, 3000),
    patch=st.sampled_from([8, 14, 16]),
    step=st.sampled_from([1, 2]),
    size=st.integers(16, 700),
    fit=st.sampled_from(FITS),
    multiple=st.sampled_from([None, 1, 64]),
)
def test_laws(
    width: int,
    height: int,
    patch: int,
    step: int,
    size: int,
    fit: Fit,
    multiple: int | None,
) -> None:
    stride = (patch // step, patch)
    grid = plan_grid(
        width, height, patch=patch, stride=stride, size=size, fit=fit, multiple=multiple
    )
    # The last patch fits, another one would not.
    for count, side, s in zip(grid.shape, grid.canvas[::-1], stride, strict=True):
        assert (count - 1) * s + patch <= side < count * s + patch
    # The image lies on the canvas.
    for start, side, room in zip(grid.offset, grid.resized, grid.canvas, strict=True):
        assert start >= 0
        assert start + side <= room
    # Patch to pixel and back.
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 1, (5, 2)) * grid.shape
    np.testing.assert_allclose(grid.to_row_col(grid.to_xy(places)), places, atol=1e-6)
    points = rng.uniform(0, 1, (5, 2)) * (width, height)
    np.testing.assert_allclose(grid.to_xy(grid.to_row_col(points)), points, atol=1e-6)
    centres = grid.centers_xy()
    assert centres.shape == (grid.rows * grid.cols, 2)
    if fit != "pad":
        assert centres.min() > 0
    if fit in ("short", "long", "square"):
        assert (centres < (width, height)).all()


def test_shifting_by_one_patch_shifts_by_the_stride_in_image_scale() -> None:
    grid = plan_grid(640, 480, patch=14, stride=(7, 7), size=224)
    step = grid.to_xy(np.array([1, 1])) - grid.to_xy(np.array([0, 0]))
    np.testing.assert_allclose(step, [7 * 640 / 294, 7 * 480 / 224])


@pytest.mark.parametrize("stride", [(5, 7), (7, 4), (0, 7), (28, 28), (-7, 7)])
def test_a_stride_that_does_not_divide_the_patch(stride: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"does not divide.* 14: choose one of \[1, 2, 7, 14\]"):
        check_stride(14, stride)
    with pytest.raises(ValueError, match=f"stride {stride[0]}x{stride[1]} does not divide"):
        plan_grid(100, 100, patch=14, stride=stride, size=56)


def test_a_size_below_one_patch() -> None:
    with pytest.raises(ValueError, match=r"at least one patch \(14 pixels\); got 13"):
        plan_grid(100, 100, patch=14, stride=(14, 14), size=13)
    # Without resizing the size does not matter.
    assert plan_grid(5, 5, patch=14, stride=(14, 14), size=13, fit="native").shape == (1, 1)


def test_unit_vectors() -> None:
    given_ = np.array([[3, 4], [0, 0], [-5, 12]], dtype=np.float16)
    found = unit(given_)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0], [-5 / 13, 12 / 13]], atol=1e-6)
    # Float16 squares overflow at 256: the norm is taken in float32.
    np.testing.assert_allclose(unit(np.full((1, 4), 60000, np.float16)), 0.5)
