"""What of a benchmark's files is missing: every one of them, for one request a folder."""

from pathlib import Path

import pytest

from tasks.benchmarks import layout
from tasks.benchmarks.layout import LayoutError, require


def test_missing_files_are_named_whatever_folder_they_belong_to(tmp_path: Path) -> None:
    for name in ("a/1.txt", "a/2.txt", "b/1.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    there = [f"{tmp_path}/{name}" for name in ("a/1.txt", "a/2.txt", "b/1.txt")]
    require("root", there, "all")
    with pytest.raises(LayoutError, match=r"^root: missing .*/a/3.txt, .*/c/1.txt. Expected all"):
        require("root", [*there, f"{tmp_path}/a/3.txt", f"{tmp_path}/c/1.txt"], "all")
    with pytest.raises(LayoutError, match=r"/a/14.txt and 5 more. Expected all"):
        require("root", [f"{tmp_path}/a/{i}.txt" for i in range(10, 20)], "all")


def test_a_folder_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [tmp_path / f"{i}.txt" for i in range(5)]
    for file in files:
        file.touch()
    monkeypatch.delattr(layout, "exists")
    require("root", map(str, files), "all")
