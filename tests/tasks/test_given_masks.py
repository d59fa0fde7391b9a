"""Numbers and palettes of the masks that users give, one or many."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storage.errors import StorageError
from storage.results import VOC_PALETTE, write_indexed_png
from storage.videos import Clip, open_clip
from tasks.given_masks import read_given

SIDE = 16
RED, BLUE = (200, 10, 0), (0, 0, 90)


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    (tmp_path / "walk").mkdir()
    for index in (0, 1):
        Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "walk" / f"{index:05d}.png")
    return open_clip(str(tmp_path / "walk"))


def bands(*colours: tuple[int, int, int]) -> Image.Image:
    """A black picture with a band of two rows of each colour, from the top."""
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    for number, colour in enumerate(colours):
        pixels[2 * number : 2 * number + 2] = colour
    return Image.fromarray(pixels)


def test_void_pixels_of_a_given_mask_are_background(tmp_path: Path, clip: Clip) -> None:
    mask = np.zeros((4, 4), np.uint8)
    mask[0, :3] = 1, 2, 255
    given = read_given(write_indexed_png(str(tmp_path / "m.png"), mask), clip)
    assert given.numbers == (1, 2)
    assert given.by_frame[0][0].tolist() == [1, 2, 0, 0]


def test_colours_are_numbered_over_all_masks(tmp_path: Path, clip: Clip) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    bands(RED, BLUE).save(masks / "00000.png")
    bands(BLUE).save(masks / "00001.png")
    given = read_given(str(masks), clip)
    assert given.numbers == (1, 2)
    assert given.palette[:3].tolist() == [[0, 0, 0], list(BLUE), list(RED)]
    assert [given.by_frame[i][:6:2, 0].tolist() for i in (0, 1)] == [[2, 1, 0], [1, 0, 0]]


def test_colours_of_the_known_palette_have_its_numbers(tmp_path: Path, clip: Clip) -> None:
    bands(tuple(VOC_PALETTE[5]), tuple(VOC_PALETTE[2])).save(tmp_path / "m.png")
    given = read_given(str(tmp_path / "m.png"), clip)
    assert given.numbers == (2, 5)
    assert given.by_frame[0][:6:2, 0].tolist() == [5, 2, 0]
    np.testing.assert_array_equal(given.palette, VOC_PALETTE)


def test_indexed_and_coloured_masks_go_together_where_they_share_a_palette(
    tmp_path: Path, clip: Clip
) -> None:
    masks = tmp_path / "masks"
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[:2] = 1
    write_indexed_png(str(masks / "00000.png"), labels, np.array([(0, 0, 0), RED, BLUE]))
    bands(BLUE, RED).save(masks / "00001.png")
    given = read_given(str(masks), clip)
    assert [given.by_frame[i][:6:2, 0].tolist() for i in (0, 1)] == [[1, 0, 0], [2, 1, 0]]
    bands(BLUE, (1, 2, 3)).save(masks / "00001.png")
    with pytest.raises(StorageError, match="not those of one palette"):
        read_given(str(masks), clip)
