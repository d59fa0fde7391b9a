"""Which pairs of images are matched: all of two folders, of one, or those that a table names."""

from pathlib import Path

import pytest
from PIL import Image

from tasks.correspond import PairPlan, plan_pairs


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str]:
    """cats/{a,b,c}.png and dogs/{a,x/d}.jpg."""
    for name in ("cats/a.png", "cats/b.png", "cats/c.png", "dogs/a.jpg", "dogs/x/d.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
    return str(tmp_path / "cats"), str(tmp_path / "dogs")


def plan(a: str, b: str, out: Path, table: str | None = None) -> PairPlan:
    listed = None
    if table is not None:
        out.mkdir(exist_ok=True)
        (out / "pairs.csv").write_text(table)
        listed = str(out / "pairs.csv")
    found = plan_pairs.fn(a, b, str(out), listed)
    assert isinstance(found, PairPlan)
    return found


def files(found: PairPlan) -> list[tuple[str, str]]:
    return [tuple(n.rpartition("/")[2] for n in (p.source, p.target)) for p in found.pairs]  # type: ignore[misc]


def test_all_pairs_of_two_folders(folders: tuple[str, str], tmp_path: Path) -> None:
    found = plan(*folders, tmp_path / "out")
    assert files(found) == [(f"{p}.png", q) for p in "abc" for q in ("a.jpg", "d.jpg")]
    places = [pair.folder for pair in found.pairs]
    assert places[:2] == ["a.png--a.jpg", "a.png--d"]
    assert len(set(places)) == 6
    listed = Path(found.images).read_text().split()
    assert len(listed) == len(set(listed)) == 5


def test_the_same_folder_twice_gives_each_pair_once(
    folders: tuple[str, str], tmp_path: Path
) -> None:
    found = plan(folders[0], folders[0], tmp_path / "out")
    assert files(found) == [("a.png", "b.png"), ("a.png", "c.png"), ("b.png", "c.png")]


def test_one_pair_has_no_folder_of_its_own(folders: tuple[str, str], tmp_path: Path) -> None:
    one = f"{folders[0]}/a.png"
    (pair,) = plan(one, one, tmp_path / "out").pairs
    assert (pair.source, pair.folder) == (pair.target, "")


def test_a_table_names_pairs_by_stem_file_or_path_each_once(
    folders: tuple[str, str], tmp_path: Path
) -> None:
    table = "source,note,target\nb.png,,a.jpg\nc,,x/d.jpg\nb,again,a\n"
    assert files(plan(*folders, tmp_path, table)) == [("b.png", "a.jpg"), ("c.png", "d.jpg")]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("a,b\n1,2\n", "expected the columns source,target; got a,b"),
        ("", "expected the columns source,target; got nothing"),
        ("source,target\n", "no rows below the header"),
        ("source,target\nz.png,a.jpg\n", "no image named 'z.png'; give the path below the folder"),
        ("source,target\na.png\n", "no image named ''"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(
    folders: tuple[str, str], tmp_path: Path, table: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        plan(*folders, tmp_path, table)
    assert "pairs.csv" in str(caught.value)


def test_a_name_that_two_images_share_is_refused(folders: tuple[str, str], tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(f"{folders[1]}/x/a.jpg")
    with pytest.raises(ValueError, match=r"2 images named 'a.jpg'; give the path below"):
        plan(*folders, tmp_path, "source,target\na.png,a.jpg\n")
