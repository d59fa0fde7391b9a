"""Long lists of names stay small as parameters."""

from pathlib import Path

from tasks.chosen import as_parameter, chosen_names


def test_a_few_names_are_themselves(tmp_path: Path) -> None:
    assert as_parameter(["a/b.jpg", "c.jpg"], str(tmp_path)) == ("a/b.jpg", "c.jpg")
    assert chosen_names(("a/b.jpg", "c.jpg")) == ("a/b.jpg", "c.jpg")
    assert as_parameter([], str(tmp_path)) == chosen_names(()) == ()
    assert list(tmp_path.iterdir()) == []


def test_many_names_travel_in_a_file(tmp_path: Path) -> None:
    names = tuple(f"train2014/COCO_train2014_{i:012d}.jpg" for i in range(19_817))
    given = as_parameter(iter(names), str(tmp_path))
    assert sum(map(len, given)) < 512
    assert chosen_names(given) == names
