"""Co-segmentation as a flow: masks for every image, resumed, reported, and robust."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from random_photos import write_photo

from flows.cosegment import cosegment
from flows.runner import make_runner
from storage.descriptors import DescriptorStore
from storage.results import read_json
from tasks import cosegment as cosegment_task
from tasks.config import CosegmentConfig
from tasks.foreground import cosegment as foreground_of
from tasks.foreground import learn_stored
from tasks.ops.preprocess import to_image_size
from tasks.report_records import read_missing, read_record
from tasks.stored import read_descriptors

pytestmark = pytest.mark.usefixtures("prefect_server")

TINY = CosegmentConfig(
    model="test_vit",
    weights="random",
    layer=5,
    facet="key",
    stride=8,
    size=64,
    precision="float32",
    sample_step=1,
    max_clusters=4,
    also=(),
    rule="relative",
    refinement="none",
)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture)


def masks(out: Path) -> dict[str, np.ndarray]:
    return {str(p.relative_to(out)): pixels(p) for p in sorted(out.glob("*/masks/*.png"))}


def test_masks_are_what_the_ops_give(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = cosegment(str(photos), str(out), TINY)
    assert [(s.name, s.masks, s.missing) for s in summary.sets] == [
        ("cats", 3, ()),
        ("dogs", 4, ()),
    ]
    assert summary.line == "7 masks in 2 sets"
    written = masks(out)
    assert sorted(written) == sorted(
        f"{path.parent.name}/masks/{path.stem}.png" for path in photos.rglob("*.png")
    )
    store = DescriptorStore.open(str(out / "store"))
    for name in ("cats", "dogs"):
        names = [n for n in store.index() if n.startswith(name)]
        described = list(read_descriptors(store, sorted(names)))
        _, foreground = foreground_of(described, TINY)
        for image, soft in zip(described, foreground, strict=True):
            mask = written[f"{name}/masks/{Path(image.name).stem}.png"]
            assert mask.shape == pixels(photos / image.name).shape[:2]
            assert mask.dtype == np.uint8
            expected = np.where(to_image_size(soft, image.grid) > 0.5, 255, 0)
            np.testing.assert_array_equal(mask, expected)
    assert (out / "report" / "index.html").stat().st_size > 500
    assert read_json(str(out / "cats" / "result.json"))["report"]["masks"] == 3


def test_a_second_run_reuses_what_is_unchanged(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    first = cosegment(str(photos), str(out), TINY)
    before = masks(out)
    worked: list[str] = []
    real = cosegment_task.learn_stored

    def watched(store: Any, names: list[str], config: CosegmentConfig) -> Any:
        worked.append(names[0].partition("/")[0])
        return real(store, names, config)

    monkeypatch.setattr(cosegment_task, "learn_stored", watched)
    again = cosegment(str(photos), str(out), TINY)
    assert worked == []
    assert [s.reused for s in again.sets] == [True, True]
    assert "2 unchanged since an earlier run" in again.line
    assert [s.clusters for s in again.sets] == [s.clusters for s in first.sets]
    for name, mask in masks(out).items():
        np.testing.assert_array_equal(mask, before[name])
    # A new picture concerns its own set alone, another setting both.
    write_photo(photos / "cats" / "new.png", 77)
    assert cosegment(str(photos), str(out), TINY).extraction.stored == 1
    assert worked == ["cats"]
    cosegment(str(photos), str(out), TINY.replace(ratio=1.2))
    assert sorted(worked) == ["cats", "cats", "dogs"]


def test_a_large_set_is_learnt_from_a_sample_and_decided_in_all_images(
    photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    config = TINY.replace(sample_images=2, rule="consensus", also=("4.key",))
    cosegment(str(photos / "dogs"), str(out), config)
    store = DescriptorStore.open(str(out / "store"))
    names = sorted(store.index())
    model, sample = learn_stored(store, [names[0], names[2]], config)
    assert sample.names == (names[0], names[2])
    for image in read_descriptors(store, names):
        soft = to_image_size(model.decide(model.read(store, image, config)), image.grid)
        mask = masks(out)[f"dogs/masks/{Path(image.name).stem}.png"]
        np.testing.assert_array_equal(mask, np.where(soft > 0.5, 255, 0))


def test_a_folder_of_images_is_one_set_named_after_it(photos: Path, tmp_path: Path) -> None:
    summary = cosegment(str(photos / "cats"), str(tmp_path / "out"), TINY)
    assert [(s.name, s.masks) for s in summary.sets] == [("cats", 3)]


def test_threads_and_dask_write_the_same_masks(photos: Path, tmp_path: Path) -> None:
    threads, dask = tmp_path / "threads", tmp_path / "dask"
    cosegment(str(photos), str(threads), TINY)
    runner = make_runner("dask")
    summary = cosegment.with_options(task_runner=runner)(str(photos), str(dask), TINY)
    assert summary.line == "7 masks in 2 sets"
    one, other = masks(threads), masks(dask)
    assert list(one) == list(other)
    for name, mask in one.items():
        np.testing.assert_array_equal(mask, other[name])


def test_broken_pictures_are_named_and_the_rest_is_done(photos: Path, tmp_path: Path) -> None:
    (photos / "cats" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    (photos / "dogs" / "empty.jpg").write_bytes(b"")
    summary = cosegment(str(photos), str(tmp_path / "out"), TINY)
    assert [name for name, _ in summary.missing] == ["cats/broken.png", "dogs/empty.jpg"]
    assert summary.line == "7 masks in 2 sets, 2 images could not be used"
    assert read_missing(f"{tmp_path}/out/missing.json") == dict(summary.missing)
    index = (tmp_path / "out" / "report" / "index.html").read_text()
    assert "2 inputs could not be used" in index
    assert "<b>dogs/empty.jpg</b>: the file is empty" in index
    assert len(masks(tmp_path / "out")) == 7


@pytest.mark.parametrize("colour", [0, 255])
def test_pictures_of_one_colour(tmp_path: Path, colour: int) -> None:
    folder = tmp_path / "flat"
    folder.mkdir()
    for i in range(3):
        Image.new("L", (64, 48), colour).save(folder / f"{i}.png")
    summary = cosegment(str(folder), str(tmp_path / "out"), TINY.replace(refinement="grabcut"))
    assert summary.sets[0].masks == 3
    found = masks(tmp_path / "out")
    assert all(mask.shape == (48, 64) for mask in found.values())
    assert not any(mask.any() for mask in found.values())
    page = read_record(f"{tmp_path}/out/flat/set.json")
    noted = ("is of one colour: its mask is empty",)
    assert [image.warnings for image in page.images] == [noted] * 3


def test_a_set_of_one_picture(tmp_path: Path) -> None:
    write_photo(tmp_path / "alone" / "a.png", 4)
    summary = cosegment(str(tmp_path / "alone"), str(tmp_path / "out"), TINY)
    assert (summary.sets[0].masks, len(masks(tmp_path / "out"))) == (1, 1)


def test_one_failing_set_does_not_keep_the_others(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = cosegment_task.learn_stored

    def wrong(store: Any, names: list[str], config: CosegmentConfig) -> Any:
        if names[0].startswith("cats"):
            raise TypeError("a bug")
        return real(store, names, config)

    monkeypatch.setattr(cosegment_task, "learn_stored", wrong)
    with pytest.raises(ExceptionGroup, match="1 of 2 tasks failed; run again") as caught:
        cosegment(str(photos), str(tmp_path / "out"), TINY)
    assert [str(error) for error in caught.value.exceptions] == ["a bug"]
    assert {name.split("/")[0] for name in masks(tmp_path / "out")} == {"dogs"}
    monkeypatch.setattr(cosegment_task, "learn_stored", real)
    again = cosegment(str(photos), str(tmp_path / "out"), TINY)
    assert [(s.name, s.reused) for s in again.sets] == [("cats", False), ("dogs", True)]
