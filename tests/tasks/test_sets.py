"""Sets and the names of their results, and work that need not be done again."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.reuse import MARKER, finished, mark_finished
from tasks.sets import group_sets, result_stems


@dataclass(frozen=True)
class Report:
    masks: int


@pytest.mark.parametrize(
    ("names", "source", "folders"),
    [
        (["a.jpg", "b.jpg"], "photos/cats", ["cats"]),
        (["a.jpg"], "s3://bucket/photos.v2/", ["photos.v2"]),
        (["a.jpg"], "..", ["images"]),
        (["a.jpg"], "photos/*.jpg", ["images"]),
        (["cats/a.jpg", "dogs/a.jpg"], "photos", ["cats", "dogs"]),
        # A folder that holds images and a subfolder of its own name.
        (["x.jpg", "cats/x.jpg"], "cats", ["cats", "cats-2"]),
        (["store/a.jpg", "store-set/a.jpg"], "p", ["store-set", "store-set-2"]),
        (["store/cats/a.jpg", "report/x/a.jpg"], "p", ["report-set/x", "store-set/cats"]),
    ],
)
def test_every_set_has_a_folder_of_its_own(
    names: list[str], source: str, folders: list[str]
) -> None:
    sets = group_sets(names, source)
    assert [s.name for s in sets] == folders
    assert sorted(name for s in sets for name in s.images) == sorted(names)


def test_stems_are_unique() -> None:
    assert result_stems(["a.jpg", "b.png"]) == {"a.jpg": "a", "b.png": "b"}
    assert result_stems(["s/a.jpg", "s/a.png"]) == {"s/a.jpg": "a.jpg", "s/a.png": "a.png"}
    tricky = ["twin.jpg", "twin.png", "twin.jpg.png"]
    assert len(set(result_stems(tricky).values())) == 3
    # As many as a bucket holds: takes half a minute where every name looks at all others.
    one_name = result_stems(f"{number}/a.jpg" for number in range(20_000))
    assert len(set(one_name.values())) == 20_000
    assert one_name["19999/a.jpg"] == "a.jpg-20000"


def test_finished_work_is_reused_only_while_it_is_there(tmp_path: Path) -> None:
    folder = str(tmp_path)
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "a.png").write_bytes(b"png")
    mark_finished(folder, "key", Report(1))
    assert finished(folder, "key", Report, ["masks/a.png"]) == Report(1)
    assert finished(folder, "key", Report, ["masks/a.png", "masks/b.png"]) is None
    assert not (tmp_path / MARKER).exists()


def test_a_marker_of_other_settings_goes_before_the_work_begins(tmp_path: Path) -> None:
    mark_finished(str(tmp_path), "first", Report(1))
    assert finished(str(tmp_path), "second", Report) is None
    # A run that dies now leaves nothing that looks finished, for either settings.
    assert finished(str(tmp_path), "first", Report) is None


def test_a_damaged_marker_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text("{")
    assert finished(str(tmp_path), "key", Report) is None
