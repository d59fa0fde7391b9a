"""Masks of every kind that editors and other programs save."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storage.errors import StorageError
from storage.label_images import read_label_image
from storage.results import VOC_PALETTE, write_indexed_png

MASK = np.zeros((24, 32), np.uint8)
MASK[6:18, 4:20] = 1


def saved(path: Path, image: Image.Image) -> str:
    image.save(path)
    return str(path)


def gray(values: np.ndarray) -> Image.Image:
    return Image.fromarray(values.astype(np.uint8))


def with_alpha(colours: np.ndarray) -> Image.Image:
    return Image.fromarray(np.dstack([colours, 255 * MASK]).astype(np.uint8))


NOISE = np.random.default_rng(0).integers(0, 256, (24, 32, 3))


@pytest.mark.parametrize(
    ("image", "number"),
    [
        (Image.fromarray(MASK > 0), 1),
        (gray(MASK * 7), 7),
        (gray(MASK * 255).convert("RGB"), 255),
        (gray(MASK * 255).convert("RGBA"), 255),
        (gray(MASK * 255).convert("LA"), 255),
        (Image.fromarray(MASK.astype(np.uint16) * 3), 3),
        (Image.fromarray(MASK.astype(np.uint16) * 65535), 255),
        (with_alpha(NOISE), 255),  # a photograph that was cut out
        (with_alpha(NOISE * 0), 255),  # black on nothing
        (with_alpha(NOISE * 0 + 255), 255),
    ],
)
def test_one_object_is_found_in(tmp_path: Path, image: Image.Image, number: int) -> None:
    found = read_label_image(saved(tmp_path / "m.png", image))
    assert not found.coloured
    np.testing.assert_array_equal(found.values, MASK.astype(int) * number)


@pytest.mark.parametrize("name", ["soft.png", "compressed.jpg"])
def test_soft_edges_are_no_objects(tmp_path: Path, name: str) -> None:
    large = gray(MASK * 255).resize((320, 240), Image.Resampling.BILINEAR)
    found = read_label_image(saved(tmp_path / name, large)).values
    assert np.unique(found).tolist() == [0, 255]
    expected = np.kron(MASK, np.ones((10, 10)))
    assert (found != 255 * expected).mean() < 0.01


def test_numbers_and_void_of_a_gray_file_stay(tmp_path: Path) -> None:
    values = np.repeat(np.arange(8), 8).reshape(8, 8)
    values[0, :3] = 255
    np.testing.assert_array_equal(
        read_label_image(saved(tmp_path / "m.png", gray(values))).values, values
    )


def test_an_indexed_file_keeps_numbers_and_palette(tmp_path: Path) -> None:
    found = read_label_image(write_indexed_png(str(tmp_path / "m.png"), MASK * 9))
    np.testing.assert_array_equal(found.values, MASK * 9)
    assert found.palette is not None
    np.testing.assert_array_equal(found.palette, VOC_PALETTE)


def test_flat_colours_are_objects_and_a_photograph_is_none(tmp_path: Path) -> None:
    colours = np.zeros((24, 32, 3), np.uint8)
    colours[MASK > 0] = 255, 0, 16
    found = read_label_image(saved(tmp_path / "m.png", Image.fromarray(colours)))
    assert found.coloured
    np.testing.assert_array_equal(found.values, MASK.astype(int) * 0xFF0010)
    photograph = saved(tmp_path / "p.png", Image.fromarray(NOISE.astype(np.uint8)))
    with pytest.raises(StorageError, match=r"one flat colour for each object.*got 768 colours"):
        read_label_image(photograph)
    wide = saved(tmp_path / "w.png", Image.fromarray(np.arange(4, dtype=np.uint16)[None] * 400))
    with pytest.raises(StorageError, match="numbers from 1 to 255; got 400 to 1200"):
        read_label_image(wide)
