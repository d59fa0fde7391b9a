"""The demo's pictures: complete, the same each time, with masks that fit."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storage.results import read_mask
from tasks.demo_photographs import PHOTOGRAPHS, THINGS, photograph, thing_mask, true_disparity
from tasks.demo_scenes import COMPOSED, clip_scene
from tasks.demo_sets import PLAIN_SET, DemoSets, draw_scene, write_composed_set, write_demo_sets


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoSets:
    return write_demo_sets(str(tmp_path_factory.mktemp("demo")))


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_every_photograph_comes_with_a_package() -> None:
    sizes = {name: photograph(name).shape[1::-1] for name in PHOTOGRAPHS}
    assert sizes["astronaut"] == (512, 512)
    assert sizes["cat"] == (451, 300)
    assert sizes["motorcycle_left"] == sizes["motorcycle_right"] == (741, 500)
    assert true_disparity().shape == (500, 741)


@pytest.mark.parametrize(
    ("name", "inside", "outside", "share"),
    [
        ("astronaut", (220, 100), (430, 100), 0.52),  # her face; the shuttle
        ("coffee", (290, 140), (550, 200), 0.48),  # the coffee; the table
        ("flower", (308, 222), (340, 400), 0.22),  # its heart; the second blossom
    ],
)
def test_outlines_lie_on_their_objects(
    name: str, inside: tuple[int, int], outside: tuple[int, int], share: float
) -> None:
    mask = thing_mask(name)  # type: ignore[arg-type]
    assert mask[inside[1], inside[0]]
    assert not mask[outside[1], outside[0]]
    assert mask.mean() == pytest.approx(share, abs=0.03)


def test_all_sets_are_written(demo: DemoSets) -> None:
    assert [s.name for s in demo.sets] == [*THINGS, PLAIN_SET]
    for entry in demo.sets:
        images = sorted(Path(entry.images).iterdir())
        assert len(images) == entry.count >= 6
        if entry.truth is not None:
            assert [p.stem for p in images] == sorted(p.stem for p in Path(entry.truth).iterdir())
            for image in images:
                mask = read_mask(f"{entry.truth}/{image.stem}.png")
                assert pixels(str(image)).shape[:2] == mask.shape
                assert 0.08 < mask.mean() < 0.5
    assert {Path(s.images).parent for s in demo.sets} == {Path(demo.images)}


def test_the_clip_moves_grows_and_ends(demo: DemoSets) -> None:
    masks = [read_mask(str(p)) for p in sorted(Path(demo.clip.truth).iterdir())]
    assert len(masks) == len(list(Path(demo.clip.frames).iterdir())) == demo.clip.count == 12
    columns = [np.nonzero(m)[1].mean() for m in masks]
    assert all(np.diff(columns) > 5)
    assert masks[-1].sum() / masks[0].sum() == pytest.approx((0.70 / 0.45) ** 2, rel=0.03)
    assert clip_scene(0).degrees == -10


def test_the_stereo_pair_obeys_its_disparity(demo: DemoSets) -> None:
    """Colours agree where the disparity points far better than where it does not."""
    left = pixels(demo.pair.source).astype(float)
    right = pixels(demo.pair.target).astype(float)
    disparity = np.load(demo.pair.disparity)
    rows, cols = np.nonzero(np.isfinite(disparity))
    target = np.rint(cols - disparity[rows, cols]).astype(int)
    inside = target >= 0
    rows, cols, target = rows[inside], cols[inside], target[inside]
    along = np.abs(left[rows, cols] - right[rows, target]).mean()
    straight = np.abs(left[rows, cols] - right[rows, cols]).mean()
    assert along < 0.5 * straight


def test_the_same_bytes_each_time(tmp_path: Path) -> None:
    written = []
    for run in ("a", "b"):
        entry = write_composed_set("flower", COMPOSED["flower"][:1], str(tmp_path / run))
        written.append(next(Path(entry.images).iterdir()).read_bytes())
    assert written[0] == written[1]


def test_a_scene_shows_the_object_in_its_own_colours() -> None:
    picture = draw_scene("flower", COMPOSED["flower"][0])
    inside, outside = picture.image[picture.mask].mean(0), picture.image[~picture.mask].mean(0)
    assert inside[0] - inside[2] > 60  # an orange blossom
    assert abs(outside[0] - outside[2]) < 5  # over gray bricks
