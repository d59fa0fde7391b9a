"""Sheets, strips, legends, matches and curves: sizes and places are those computed by hand."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tasks.ops.draw import palette
from tasks.ops.draw_layout import (
    contact_sheet,
    curve_svg,
    filmstrip,
    fitted,
    match_picture,
    with_legend,
)


def plain(height: int, width: int, tone: int) -> np.ndarray:
    return np.full((height, width, 3), tone, np.uint8)


def test_fitted_keeps_the_ratio() -> None:
    assert fitted(plain(100, 300, 9), 150, 90).shape == (50, 150, 3)
    assert fitted(plain(2, 1000, 9), 100, 100).shape == (1, 100, 3)


def test_contact_sheet_places_pictures_row_by_row() -> None:
    sheet = contact_sheet(
        [plain(50, 50, t) for t in (10, 20, 30)], columns=2, cell=(50, 50), captions="abc"
    )
    assert sheet.shape == (2 * (50 + 18 + 6) + 6, 2 * 56 + 6, 3)
    assert [sheet[y, x, 0] for y, x in ((30, 30), (30, 90), (105, 30), (105, 90))] == [
        10, 20, 30, 255,
    ]  # fmt: skip
    with pytest.raises(ValueError, match="got 1 for 2 pictures"):
        contact_sheet([plain(5, 5, 0)] * 2, captions=["one"])
    with pytest.raises(ValueError, match="at least one picture"):
        contact_sheet([])


def test_filmstrip_shows_the_first_and_the_last_frame() -> None:
    strip = filmstrip([plain(60, 80, t) for t in range(100)], height=30, count=3)
    assert strip.shape == (30, 3 * 40 + 2 * 3, 3)
    assert [strip[15, x, 0] for x in (20, 63, 106)] == [0, 50, 99]
    assert filmstrip([plain(60, 80, 7)], height=30).shape == (30, 40, 3)


def test_legend_squares_have_their_colours_and_lines_wrap() -> None:
    colours = palette(3)
    drawn = with_legend(plain(40, 300, 0), colours, ["head", "body", "legs"])
    assert_array_equal(drawn[56, 16], colours[0])
    narrow = with_legend(plain(40, 100, 0), colours, ["head", "body", "legs"])
    assert narrow.shape[0] > drawn.shape[0]


def test_matches_are_drawn_at_their_pixels_with_one_colour() -> None:
    source, target = plain(100, 200, 0), plain(300, 150, 0)
    drawn = match_picture(
        source, target, np.array([[50.0, 60.0]]), np.array([[75.0, 200.0]]), height=200
    )
    assert drawn.shape == (200, 400 + 10 + 100, 3)
    tone = palette(1)[0]
    assert_array_equal(drawn[120, 100 - 6], tone)  # (50, 60) of the source, twice as large
    assert_array_equal(drawn[133, 410 + 50 + 6], tone)  # (75, 200) of the target, by 2 / 3
    strip = match_picture(  # 1500 x 5 pixels, drawn as 600 x 2
        plain(5, 1500, 0), target, np.array([[1250.0, 2.5]]), np.array([[75.0, 200.0]]), height=200
    )
    assert strip.shape == (200, 600 + 10 + 100, 3)
    assert_array_equal(strip[1, 500 - 6], tone)
    with pytest.raises(ValueError, match="got 1 and 2"):
        match_picture(source, target, np.zeros((1, 2)), np.zeros((2, 2)))


def test_curve_is_valid_svg_with_its_points_in_place() -> None:
    text = curve_svg([[0.0, 1.0, float("nan"), 0.5]], ["a < b"], width=358, height=130)
    root = ElementTree.fromstring(text)  # noqa: S314 (our own)
    path = root.find("{http://www.w3.org/2000/svg}path")
    assert path is not None
    # 300 units of width in three steps from 50; 100 of height, 0 at 122 and 1 at 22.
    assert path.get("d") == "M50.0,122.0L150.0,22.0M350.0,72.0h0.1"
    assert root.get("aria-label") == "a < b"
    with pytest.raises(ValueError, match="one name a line"):
        curve_svg([[1.0]], [])


def test_the_names_of_many_lines_stay_inside_the_picture() -> None:
    names = [f"object {i}" for i in range(40)]
    text = curve_svg([[0.0, 1.0]] * 40, names, width=640, height=160)
    places = [(int(x), int(y)) for x, y in re.findall(r'<rect x="(\d+)" y="(\d+)"', text)]
    assert len(set(places)) == len(places) == 12
    assert max(x for x, _ in places) <= 640 - 145
    assert 'viewBox="0 0 640 192"' in text
    assert text.count("<path") == 40
    assert ">others</text>" in text
