"""Tables that people give: what cannot be used is named with its file and row."""

from pathlib import Path

import pytest

from tasks.tables import read_table
from tasks.transfer import read_keypoints


def test_rows_come_by_column_and_short_ones_are_filled(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes("\ufeffname,x,y\n\u00e9,1,2\nb,3\n".encode())  # as spreadsheets write it
    assert read_table(str(file), ("x",)) == [
        {"name": "\u00e9", "x": "1", "y": "2"},
        {"name": "b", "x": "3", "y": ""},
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected the columns x,y; got nothing"),
        (b"u,v\n1,2\n", "expected the columns x,y; got u,v"),
        (b"x,y\n", "no rows below the header"),
        (b"x,y\n1,2\n1,2,3\n", "row 2: expected 2 values, x,y; got 3"),
        (b"x,y\n1,2,3\n", "row 1: expected 2 values, x,y; got 3"),
        (b"x,y\n\xff,2\n", "expected a CSV table in UTF-8"),
        (b"x,y\n" + b"1" * 140_000 + b",2\n", "expected a CSV table in UTF-8 .field larger"),
        (b"x,y\n1,up\n", "row 1: x and y must be numbers"),
        (b"x,y\n1,2\n1\n", "row 2: x and y must be numbers"),
        (b"x,y\nnan,2\n", "row 1: x and y must be numbers"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_keypoints(str(tmp_path / "t.csv"))
    assert str(caught.value).startswith(f"{tmp_path}/t.csv")
