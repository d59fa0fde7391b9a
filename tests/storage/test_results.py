"""Results keep their values in files that any program opens."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import StorageError, UnreadableImageError, is_storage_fault
from storage.images import decode_image
from storage.label_images import read_label_image
from storage.results import (
    VOC_PALETTE,
    join,
    read_bytes,
    read_indexed_png,
    read_json,
    read_mask,
    write_bytes,
    write_csv,
    write_indexed_png,
    write_json,
    write_mask,
    write_rgb,
)


def test_a_mask_is_a_gray_png_of_0_and_255(place: str) -> None:
    from PIL import Image

    mask = np.array([[True, False, False], [False, True, True]])
    url = write_mask(join(place, "m/a.png"), mask)
    np.testing.assert_array_equal(read_mask(url), mask)
    with Image.open(__import__("io").BytesIO(read_bytes(url))) as image:
        assert (image.mode, image.size) == ("L", (3, 2))
        np.testing.assert_array_equal(np.asarray(image), mask * 255)


def test_labels_and_palette_come_back(place: str) -> None:
    labels = np.array([[0, 1, 2], [255, 0, 7]])
    url = write_indexed_png(join(place, "l.png"), labels)
    np.testing.assert_array_equal(read_indexed_png(url), labels)
    palette = read_label_image(url).palette
    assert palette is not None
    np.testing.assert_array_equal(palette, VOC_PALETTE)
    np.testing.assert_array_equal(read_mask(url), labels > 0)


def test_a_palette_of_ones_own_is_kept(tmp_path: object) -> None:
    colours = np.array([[0, 0, 0], [9, 8, 7]], np.uint8)
    url = write_indexed_png(f"{tmp_path}/l.png", np.array([[0, 1]]), colours)
    palette = read_label_image(url).palette
    assert palette is not None
    np.testing.assert_array_equal(palette[:2], colours)


def test_the_palette_is_that_of_davis() -> None:
    # The first colours as in DAVIS's and PASCAL VOC's own files.
    expected = {1: (128, 0, 0), 2: (0, 128, 0), 4: (0, 0, 128), 7: (128, 128, 128)}
    expected |= {8: (64, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192)}
    for index, colour in expected.items():
        assert tuple(VOC_PALETTE[index]) == colour


@given(st.permutations(range(256)))
def test_palette_colours_are_all_different(order: list[int]) -> None:
    assert len({tuple(VOC_PALETTE[index]) for index in order}) == 256


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([[0, 256]]), r"0\.\.255"),
        (np.array([[-1, 0]]), r"got -1\.\.0"),
        (np.array([[0.5]]), "integer dtype"),
        (np.array([1, 2]), r"shape \(H, W\)"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels: np.ndarray, message: str) -> None:
    with pytest.raises(StorageError, match=message):
        write_indexed_png("memory://x.png", labels)


def test_a_mask_of_numbers_is_refused() -> None:
    with pytest.raises(StorageError, match=r"dtype bool.*threshold"):
        write_mask("memory://x.png", np.zeros((2, 2)))  # type: ignore[arg-type]


def test_rgb_as_labels_and_text_as_image_are_refused(tmp_path: object) -> None:
    url = write_rgb(f"{tmp_path}/x.png", np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(StorageError, match="indexed or gray"):
        read_indexed_png(url)
    write_bytes(f"{tmp_path}/y.png", b"text")
    with pytest.raises(StorageError, match="not an image"):
        read_mask(f"{tmp_path}/y.png")
    with pytest.raises(StorageError, match=r"ending in \.png"):
        write_rgb(f"{tmp_path}/x.pgn", np.zeros((2, 2, 3), np.uint8))


@pytest.mark.parametrize("cut", [0, 4, 60])
def test_a_broken_image_is_no_fault_of_the_storage(tmp_path: object, cut: int) -> None:
    """Pillow's error is an OSError, as a network's is: reading it again would not help."""
    url = write_mask(f"{tmp_path}/x.png", np.random.default_rng(0).random((40, 40)) > 0.5)
    write_bytes(url, read_bytes(url)[:cut])
    with pytest.raises(StorageError, match=r"x\.png: not an image that can be read") as caught:
        read_mask(url)
    assert not is_storage_fault(caught.value)
    with pytest.raises(UnreadableImageError) as unreadable:
        decode_image(read_bytes(url), url)
    assert not is_storage_fault(unreadable.value)


def test_json_and_csv_are_strict(place: str) -> None:
    url = write_json(join(place, "x.json"), {"b": 1.5, "a": ["ü", None]})
    assert read_json(url) == {"b": 1.5, "a": ["ü", None]}
    assert "ü" in read_bytes(url).decode()
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(url, {"x": float("nan")})
    table = write_csv(join(place, "x.csv"), ("x", "name"), [(1.25, "a,b"), (2, "c")])
    assert read_bytes(table) == b'x,name\n1.25,"a,b"\n2,c\n'
    with pytest.raises(StorageError, match="row 1 has 1 fields, the header has 2"):
        write_csv(table, ("x", "y"), [(1,)])
    write_bytes(url, b"{")
    with pytest.raises(StorageError, match="not valid JSON"):
        read_json(url)
