"""Pictures to tensors, and maps back to pictures."""

import numpy as np
import pytest
from PIL import Image

from tasks.ops.kinds import Interpolation
from tasks.ops.patch_grid import PatchGrid, plan_grid
from tasks.ops.preprocess import to_batch, to_canvas, to_image_size

RNG = np.random.default_rng(5)


def photo(height: int, width: int) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_an_image_of_the_right_size_is_left_alone() -> None:
    image = photo(32, 48)
    grid = plan_grid(48, 32, patch=8, stride=(8, 8), size=32)
    assert to_canvas(image, grid) is image


def test_native_fit_pads_right_and_bottom_with_zeros() -> None:
    image = photo(20, 30)
    canvas = to_canvas(image, plan_grid(30, 20, patch=8, stride=(8, 8), size=1, fit="native"))
    assert canvas.shape == (24, 32, 3)
    np.testing.assert_array_equal(canvas[:20, :30], image)
    assert not canvas[20:].any()
    assert not canvas[:, 30:].any()


def test_pad_fit_centres() -> None:
    image = np.full((20, 40, 3), 200, np.uint8)
    canvas = to_canvas(image, plan_grid(40, 20, patch=8, stride=(8, 8), size=16, fit="pad"))
    assert canvas.shape == (16, 16, 3)
    assert (canvas[4:12] == 200).all()
    assert not canvas[:4].any()
    assert not canvas[12:].any()


@pytest.mark.parametrize(
    ("name", "kernel", "support"),
    [
        ("bilinear", lambda x: max(0.0, 1 - abs(x)), 1),
        ("lanczos", lambda x: float(np.sinc(x) * np.sinc(x / 3)) if abs(x) < 3 else 0.0, 3),
    ],
)
def test_resizing_is_antialiased_by_the_definition(
    name: Interpolation, kernel: object, support: int
) -> None:
    # One bright column of 64, shrunk four times: the kernel widens by four.
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 30] = 255
    grid = plan_grid(64, 64, patch=8, stride=(8, 8), size=16)
    row = to_canvas(image, grid, name)[8, :, 0]
    assert callable(kernel)
    expected = []
    for i in range(16):
        centre = (i + 0.5) * 4
        weights = np.array([kernel((j + 0.5 - centre) / 4) for j in range(64)])
        expected.append(255 * weights[30] / weights.sum())
    np.testing.assert_allclose(row, np.clip(expected, 0, 255), atol=1.01)
    assert np.count_nonzero(expected) >= support


def test_batches_are_normalised_by_channel() -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    image[0, 1] = (255, 51, 0)
    batch = to_batch([image, image], mean=(0.5, 0.2, 0.4), std=(0.25, 0.1, 0.2))
    assert batch.shape == (2, 3, 2, 2)
    assert batch.is_contiguous()
    # Half a channel above the mean is two deviations, and so on.
    np.testing.assert_allclose(batch[1, :, 0, 1], [2, 0, -2], atol=1e-6)
    np.testing.assert_allclose(batch[0, :, 0, 0], [-2, -2, -2], atol=1e-6)


def test_canvases_of_two_sizes_are_no_batch() -> None:
    with pytest.raises(ValueError, match="same shape"):
        to_batch([photo(8, 8), photo(8, 16)], (0, 0, 0), (1, 1, 1))


def literal(values: np.ndarray, grid: PatchGrid) -> np.ndarray:
    """Bilinear interpolation at every pixel, one at a time."""
    width, height = grid.image
    out = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            row, col = grid.to_row_col(np.array([x + 0.5, y + 0.5]))
            row, col = min(max(row, 0), grid.rows - 1), min(max(col, 0), grid.cols - 1)
            r, c = int(row), int(col)
            r2, c2 = min(r + 1, grid.rows - 1), min(c + 1, grid.cols - 1)
            a, b = row - r, col - c
            top = (1 - b) * values[r, c] + b * values[r, c2]
            bottom = (1 - b) * values[r2, c] + b * values[r2, c2]
            out[y, x] = (1 - a) * top + a * bottom
    return out


@pytest.mark.parametrize("fit", ["short", "long", "square", "pad", "native"])
@pytest.mark.parametrize("stride", [(4, 4), (8, 2)])
def test_maps_come_back_at_every_fit(fit: str, stride: tuple[int, int]) -> None:
    grid = plan_grid(45, 31, patch=8, stride=stride, size=32, fit=fit)  # type: ignore[arg-type]
    values = RNG.random(grid.shape)
    found = to_image_size(values, grid)
    assert found.shape == (31, 45)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, literal(values, grid), atol=1e-6)


def test_channels_and_constants() -> None:
    grid = plan_grid(50, 40, patch=8, stride=(4, 4), size=32)
    values = np.stack([np.full(grid.shape, 0.25), np.full(grid.shape, -3.0)], axis=-1)
    found = to_image_size(values, grid)
    assert found.shape == (40, 50, 2)
    np.testing.assert_allclose(found[..., 0], 0.25)
    np.testing.assert_allclose(found[..., 1], -3.0)


@pytest.mark.parametrize("channels", [1, 4, 7])
def test_any_number_of_channels(channels: int) -> None:
    grid = plan_grid(30, 20, patch=8, stride=(4, 4), size=16)
    values = RNG.random((*grid.shape, channels))
    found = to_image_size(values, grid)
    assert found.shape == (20, 30, channels)
    for c in range(channels):
        np.testing.assert_array_equal(found[..., c], to_image_size(values[..., c], grid))


def test_a_panorama_of_many_pixels() -> None:
    grid = plan_grid(40_000, 8, patch=8, stride=(8, 8), size=8)
    found = to_image_size(np.arange(grid.cols, dtype=float)[None], grid)
    assert found.shape == (8, 40_000)
    np.testing.assert_allclose(found[0, [4, 12, 39_995]], [0.0625, 1.0625, 4998.9375], atol=1e-3)


def test_a_map_of_column_positions_gives_positions_back() -> None:
    # What is linear stays linear between the outermost centres.
    grid = plan_grid(64, 64, patch=8, stride=(8, 8), size=64)
    xs = grid.centers_xy()[:, 0].reshape(grid.shape)
    found = to_image_size(xs, grid)
    np.testing.assert_allclose(found[:, 4:60], np.tile(np.arange(4, 60) + 0.5, (64, 1)))
    np.testing.assert_allclose(found[:, :4], 4)
    np.testing.assert_allclose(found[:, 60:], 60)


def test_nearest_gives_each_pixel_its_patch() -> None:
    grid = plan_grid(24, 16, patch=8, stride=(8, 8), size=16)
    labels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    found = to_image_size(labels, grid, nearest=True)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.kron(labels, np.ones((8, 8), np.uint8)))


def test_nearest_takes_the_lower_patch_half_way() -> None:
    # Stride 1: pixel centres lie at x.5, patch centres (patch 2) at whole pixels: always half way.
    grid = plan_grid(6, 6, patch=2, stride=(1, 1), size=6)
    labels = np.tile(np.arange(5), (5, 1))
    found = to_image_size(labels, grid, nearest=True)
    np.testing.assert_array_equal(found[0], [0, 0, 1, 2, 3, 4])
    np.testing.assert_array_equal(found, np.tile(found[0], (6, 1)))
    np.testing.assert_array_equal(to_image_size(labels.T, grid, nearest=True), found.T)


def test_one_patch_fills_the_image() -> None:
    grid = plan_grid(9, 9, patch=8, stride=(8, 8), size=8)
    np.testing.assert_array_equal(to_image_size(np.array([[7.0]]), grid), np.full((9, 9), 7.0))


def test_resizing_is_pillows() -> None:
    image = photo(60, 90)
    grid = plan_grid(90, 60, patch=8, stride=(8, 8), size=32)
    expected = Image.fromarray(image).resize((48, 32), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(to_canvas(image, grid), np.asarray(expected))
