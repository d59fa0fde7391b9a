"""Masks through whole clips: moving objects, corrections, interruptions, odd inputs."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storage.errors import StorageError
from storage.results import VOC_PALETTE, read_indexed_png, write_indexed_png
from storage.videos import open_clip, read_frames
from tasks import propagate
from tasks.clip_state import STATE_FILE
from tasks.ops.davis_metrics import jaccard
from tasks.presets import PRESETS
from tasks.propagate import ClipJob, ClipReport
from tasks.report_records import read_record
from tasks.video_config import PropagateConfig

TINY = PropagateConfig(
    model="test_vit",
    weights="random",
    layer=1,
    also=("0.token",),
    stride=8,
    stride_x=8,
    size=96,
    channels=24,
    recent=3,
    precision="float32",
    checkpoint=2,
)
WIDTH, HEIGHT, FRAMES = 144, 96, 7


def scene(index: int) -> tuple[np.ndarray, np.ndarray]:
    """A textured block that moves by 8 pixels a frame over a gradient, and its mask."""
    yy, xx = np.mgrid[:HEIGHT, :WIDTH]
    picture = np.stack([40 + xx // 3, 60 + yy // 2, 90 + 0 * xx], axis=-1).astype(np.uint8)
    left = 16 + 8 * index
    block = (slice(32, 64), slice(left, left + 40))
    stripes = ((xx[block] - left) // 5 % 2 * 90 + 140).astype(np.uint8)
    picture[block] = np.stack([stripes, 30 + 0 * stripes, 255 - stripes], axis=-1)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[block] = 1
    return picture, mask


def write_clip(folder: Path, frames: int = FRAMES) -> Path:
    folder.mkdir(parents=True)
    for index in range(frames):
        Image.fromarray(scene(index)[0]).save(folder / f"{index:05d}.png")
    return folder


def write_mask(path: Path, mask: np.ndarray) -> str:
    return write_indexed_png(str(path), mask)


def run(clip: Path, mask: str | None, out: Path, config: PropagateConfig = TINY) -> ClipReport:
    return propagate.propagate_clip.fn(ClipJob(clip.name, str(clip), mask, str(out)), config)


def masks_of(out: Path) -> dict[str, np.ndarray]:
    return {p.stem: read_indexed_png(str(p)) for p in sorted((out / "masks").iterdir())}


def test_a_moving_object_is_followed_and_everything_is_left(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "walk")
    report = run(clip, write_mask(tmp_path / "first.png", scene(0)[1] * 3), tmp_path / "out")
    assert (report.frames, report.objects, report.missing) == (FRAMES, 1, ())
    found = masks_of(tmp_path / "out")
    assert list(found) == [f"{i:05d}" for i in range(FRAMES)]
    for index, mask in enumerate(found.values()):
        assert set(np.unique(mask)) <= {0, 3}
        assert jaccard(scene(index)[1] > 0, mask > 0) > 0.8, index
    with Image.open(tmp_path / "out" / "masks" / "00004.png") as image:
        assert image.mode == "P"
        assert image.getpalette()[:12] == VOC_PALETTE[:4].ravel().tolist()
    film = open_clip(str(tmp_path / "out" / "overlay.mp4"))
    assert len(list(read_frames(film))) == FRAMES
    record = read_record(str(tmp_path / "out" / "set.json"))
    assert (record.kind, record.movie, len(record.images)) == ("video", "overlay.mp4", FRAMES)
    curve = (tmp_path / "out" / "curve.csv").read_text().splitlines()
    assert curve[0] == "frame,confidence,area_3"
    assert curve[1].split(",")[:2] == ["0", "1.0"]
    assert float(curve[1].split(",")[2]) == pytest.approx(32 * 40 / (WIDTH * HEIGHT), abs=1e-6)
    assert not (tmp_path / "out" / STATE_FILE).exists()
    again = run(clip, str(tmp_path / "first.png"), tmp_path / "out")
    assert again.reused
    (tmp_path / "out" / "masks" / "00002.png").unlink()
    assert not run(clip, str(tmp_path / "first.png"), tmp_path / "out").reused
    assert len(masks_of(tmp_path / "out")) == FRAMES


def test_an_interrupted_run_goes_on_to_the_same_masks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TINY.replace(pictures=False)
    clip = write_clip(tmp_path / "walk")
    mask = write_mask(tmp_path / "first.png", scene(0)[1])
    run(clip, mask, tmp_path / "whole", config)
    written: list[str] = []
    original = propagate.write_indexed_png

    def dying(url: str, *rest: object) -> str:
        if len(written) == 6:
            raise KeyboardInterrupt
        written.append(url)
        return original(url, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(propagate, "write_indexed_png", dying)
    with pytest.raises(KeyboardInterrupt):
        run(clip, mask, tmp_path / "cut", config)
    assert (tmp_path / "cut" / STATE_FILE).exists()
    assert len(masks_of(tmp_path / "cut")) == 6
    written.clear()
    run(clip, mask, tmp_path / "cut", config)
    assert [Path(url).stem for url in written] == ["00005", "00006"]
    whole, cut = masks_of(tmp_path / "whole"), masks_of(tmp_path / "cut")
    for name, expected in whole.items():
        np.testing.assert_array_equal(cut[name], expected)


def test_masks_of_several_frames_are_taken_from_a_folder(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "walk")
    write_mask(tmp_path / "masks" / "00003.png", scene(3)[1])
    write_mask(tmp_path / "masks" / "00005.png", scene(5)[1] * 2)
    report = run(clip, str(tmp_path / "masks"), tmp_path / "out", TINY.replace(pictures=False))
    assert (report.frames, report.objects) == (FRAMES, 2)
    found = masks_of(tmp_path / "out")
    np.testing.assert_array_equal(found["00003"], scene(3)[1])
    np.testing.assert_array_equal(found["00005"], scene(5)[1] * 2)
    for index in (0, 4):  # what is carried on has the number of the nearest given mask before it
        assert set(np.unique(found[f"{index:05d}"])) == {0, 1}


def test_a_broken_frame_is_named_and_the_others_are_done(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "walk")
    (clip / "00002.png").write_bytes(b"")
    report = run(clip, write_mask(tmp_path / "first.png", scene(0)[1]), tmp_path / "out")
    assert [name for name, _ in report.missing] == ["walk/00002"]
    assert "empty" in report.missing[0][1]
    found = masks_of(tmp_path / "out")
    assert len(found) == FRAMES - 1
    assert jaccard(scene(6)[1] > 0, found["00006"] > 0) > 0.7


def test_masks_come_in_the_size_of_the_given_one(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "walk", 3)
    Image.fromarray(scene(1)[0]).resize((288, 192)).save(clip / "00001.png")
    small = scene(0)[1][::2, ::2]
    run(clip, write_mask(tmp_path / "first.png", small), tmp_path / "out")
    found = masks_of(tmp_path / "out")
    assert {mask.shape for mask in found.values()} == {(48, 72)}
    for index, mask in enumerate(found.values()):
        assert jaccard(scene(index)[1][::2, ::2] > 0, mask > 0) > 0.75


def test_frames_that_are_all_broken_are_an_error_with_the_reason(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "walk", 2)
    for frame in clip.iterdir():
        frame.write_bytes(b"")
    for mask in (None, write_mask(tmp_path / "first.png", scene(0)[1])):
        with pytest.raises(StorageError, match=r"none of its frames can be read; 00000: .*empty"):
            run(clip, mask, tmp_path / "out")


def test_a_stretched_frame_and_an_object_too_small_are_named(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "walk", 3)
    Image.fromarray(scene(1)[0]).resize((HEIGHT, HEIGHT)).save(clip / "00001.png")
    mask = scene(0)[1]
    mask[90, 140] = 9
    given = write_mask(tmp_path / "first.png", mask)
    report = run(clip, given, tmp_path / "out", TINY.replace(pictures=False))
    assert report.frames == 3
    stretched, unseen = report.warnings
    assert stretched.endswith("stretched to them: 1 frame (00001)")
    assert unseen.startswith("object 9 is found in no frame but those with a given mask")


def test_masks_of_an_earlier_clip_do_not_stay(tmp_path: Path) -> None:
    mask, plain = write_mask(tmp_path / "first.png", scene(0)[1]), TINY.replace(pictures=False)
    run(write_clip(tmp_path / "long", 4), mask, tmp_path / "out", plain)
    run(write_clip(tmp_path / "short", 2), mask, tmp_path / "out", plain)
    assert list(masks_of(tmp_path / "out")) == ["00000", "00001"]


def test_many_clips_want_a_folder_of_masks(tmp_path: Path) -> None:
    write_clip(tmp_path / "clips" / "a.0", 1)
    write_clip(tmp_path / "clips" / "a.1", 1)
    mask = write_mask(tmp_path / "masks" / "a.0.png", scene(0)[1])
    out = tmp_path / "clips" / "out"  # results of an earlier run
    write_mask(out / "a.0" / "masks" / "00000.png", scene(0)[1])
    jobs = propagate.find_clips.fn(str(tmp_path / "clips"), str(tmp_path / "masks"), str(out))
    assert [(job.name, job.folder) for job in jobs] == [(n, f"{out}/{n}") for n in ("a.0", "a.1")]
    assert [job.mask for job in jobs] == [mask, str(tmp_path / "masks" / "a.1")]
    with pytest.raises(StorageError, match=r"a\.0\.png: expected a folder.*each of the 2 clips"):
        propagate.find_clips.fn(str(tmp_path / "clips"), mask, str(out))


def test_a_single_frame_and_a_gray_mask(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "one", 1)
    Image.fromarray(scene(0)[1] * 255).save(tmp_path / "first.png")
    report = run(clip, str(tmp_path / "first.png"), tmp_path / "out")
    assert report.frames == 1
    np.testing.assert_array_equal(masks_of(tmp_path / "out")["00000"], scene(0)[1] * 255)


def test_without_a_mask_something_is_followed_through_all_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_clip(tmp_path / "walk")
    report = run(clip, None, tmp_path / "out")
    assert report.frames == FRAMES
    assert "followed what is salient in frame" in report.warnings[0]
    monkeypatch.setattr("tasks.first_mask.describe", None)  # nothing is looked at again
    assert run(clip, None, tmp_path / "out").reused
    found = masks_of(tmp_path / "out")
    # Random weights see no objects, but motion does: some of the mask lies on the block.
    best = max(jaccard(scene(i)[1] > 0, m > 0) for i, m in enumerate(found.values()))
    assert best > 0.2


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "walk", 2)
    nothing = write_mask(tmp_path / "nothing.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(StorageError, match=r"holds no object, all pixels are 0.*leave it out"):
        run(clip, nothing, tmp_path / "out")
    tall = write_mask(tmp_path / "tall.png", np.ones((WIDTH, HEIGHT), np.uint8))
    with pytest.raises(StorageError, match="96x144 does not fit frames of 144x96"):
        run(clip, tall, tmp_path / "out")
    write_mask(tmp_path / "masks" / "later.png", scene(0)[1])
    with pytest.raises(StorageError, match=r"no frame is called like later\.png"):
        run(clip, str(tmp_path / "masks"), tmp_path / "out")
    with pytest.raises(StorageError, match="no such file or folder"):
        run(clip, str(tmp_path / "gone.png"), tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "model", "patch", "size", "circle", "temperature"),
    [
        ("dino-davis480", "vit_small_patch16_224.dino", 16, 480, False, 0.1),
        ("dino-davis480-s8", "vit_small_patch8_224.dino", 8, 480, False, 0.1),
        ("dino-davis480-b8", "vit_base_patch8_224.dino", 8, 480, False, 0.1),
        ("lift-davis448", "vit_small_patch16_224.dino", 16, 448, False, 0.1),
        ("dinov3-davis960", "vit_7b_patch16_dinov3.lvd1689m", 16, 960, True, 0.2),
        ("dinov3-davis960-dinov2", "vit_giant_patch14_dinov2.lvd142m", 14, 960, True, 0.2),
    ],
)
def test_presets_are_as_published(
    name: str, model: str, patch: int, size: int, circle: bool, temperature: float
) -> None:
    config = PRESETS[name].config(**PRESETS[name].settings)
    assert isinstance(config, PropagateConfig)
    assert (config.model, config.stride, config.stride_x, config.size) == (model, patch, None, size)
    assert (config.recent, config.radius, config.top_k) == (7, 12, 5)
    assert (config.labels, config.refinement, config.channels) == ("patch", "none", None)
    assert config.neighbourhood == ("circle" if circle else "square")
    assert (config.temperature, config.also) == (temperature, ())
    facet = "key" if name == "lift-davis448" else "normed_token"
    assert (config.layer, config.facet) == (39 if size == 960 else 11, facet)


def test_the_protocols_settings_run(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "walk", 3)
    settings = PRESETS["dino-davis480"].settings
    config = PropagateConfig(
        **settings
        | {"model": "test_vit", "weights": "random", "layer": 5, "size": 96, "multiple": 16}
    )
    report = run(clip, write_mask(tmp_path / "first.png", scene(0)[1]), tmp_path / "out", config)
    assert report.frames == 3
    assert all(m.shape == (HEIGHT, WIDTH) for m in masks_of(tmp_path / "out").values())
