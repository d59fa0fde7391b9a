"""Dynamic-RE10K on a tiny data set in its official layout, scored by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storage.results import write_mask
from tasks.benchmarks.layout import LayoutError
from tasks.benchmarks.motion import MotionBenchmark, load, score

WEIGHTS = {"name": "w", "sha256": "0"}


def colour(path: Path, value: int, left: int | None = None) -> None:
    """A gray picture; its left half of another gray."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((10, 20, 3), value, np.uint8)
    if left is not None:
        pixels[:, :10] = left
    Image.fromarray(pixels).save(path)


def write_scene(test: Path, scene: str, first: int, frames: int = 2) -> None:
    """Frames whose left half moves; masks of half the size, numbered from `first`."""
    folder = scene.partition("_context_")[0]
    paths = [f"../images/{folder}/{i:05d}.png" for i in range(frames)]
    for i, path in enumerate(paths):
        colour(test / "metadata" / path, 90)
        truth = np.zeros((5, 10), np.uint8)
        truth[:, :5] = 1
        file = test / "binary_masks" / folder / f"{i + first:05d}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, truth)
    content = {"scene_name": scene, "frames": [{"image_path": path} for path in paths]}
    (test / "metadata" / f"{scene}.json").write_text(json.dumps(content))


def write_d_re10k(root: Path) -> Path:
    test = root / "test"
    (test / "metadata").mkdir(parents=True)
    for scene, first in (("room_clip0001", 0), ("hall_clip0002", 1)):
        write_scene(test, scene, first)
    lines = [f"dynamic_re10k/test/metadata/{s}.json" for s in ("room_clip0001", "hall_clip0002")]
    (test / "dre10k_final_context_2.txt").write_text("\n".join(lines) + "\n")
    return root


def found(root: Path, **choice: object) -> MotionBenchmark:
    chosen = load.fn("d-re10k", str(root), **choice)
    assert isinstance(chosen, MotionBenchmark)
    return chosen


def write_found(out: Path, folder: str, stem: str, columns: int) -> None:
    mask = np.zeros((10, 20), bool)
    mask[:, :columns] = True
    write_mask(str(out / folder / "masks" / f"{stem}.png"), mask)


def test_scores_by_hand(tmp_path: Path) -> None:
    chosen, out = found(write_d_re10k(tmp_path / "data")), tmp_path / "out"
    assert chosen.frames["hall_clip0002"] == ("hall_clip0002/00000.png", "hall_clip0002/00001.png")
    assert chosen.truths["hall_clip0002/00000.png"].endswith("hall_clip0002/00001.npy")
    write_found(out, "room_clip0001", "00000", 10)  # exact
    write_found(out, "room_clip0001", "00001", 20)  # all
    write_found(out, "hall_clip0002", "00000", 5)  # half of it; the last frame has none
    result = score.fn(chosen, str(out), None, WEIGHTS)
    assert result.by_category["room_clip0001"] == {"miou": 0.75, "recall": 1}
    assert result.by_category["hall_clip0002"] == {"miou": 0.25, "recall": 0.25}
    assert result.scores == {"miou": 0.5, "recall": 0.625}
    assert result.items["hall_clip0002/00000.png"] == {"miou": 0.5, "recall": 0.5}
    assert result.measures == {}
    assert found(tmp_path / "data", scenes=("hall_clip0002",), limit=1).names == (
        "hall_clip0002/00000.png",
    )


def test_psnr_is_over_the_pixels_that_the_masks_leave(tmp_path: Path) -> None:
    root, out, views = write_d_re10k(tmp_path / "data"), tmp_path / "out", tmp_path / "views"
    chosen = found(root, scenes=("room_clip0001",))
    write_found(out, "room_clip0001", "00000", 5)
    colour(views / "room_clip0001" / "gt" / "00000.png", 0)
    # Wrong by 51 of 255 where things move, right elsewhere.
    colour(views / "room_clip0001" / "rendered" / "00000.png", 0, left=51)
    result = score.fn(chosen, str(out), str(views), WEIGHTS)
    kept = 0.2**2 * 5 / 15  # of the 15 columns that are left, 5 are wrong
    assert result.measures["psnr_db"] == pytest.approx(-10 * np.log10(kept))
    assert result.measures["psnr_true_masks_db"] == pytest.approx(80)
    assert result.measures["psnr_all_db"] == pytest.approx(-10 * np.log10(0.02))
    (views / "room_clip0001" / "gt" / "00000.png").unlink()
    with pytest.raises(LayoutError, match=r"missing .*gt/00000\.png"):
        score.fn(chosen, str(out), str(views), WEIGHTS)
    with pytest.raises(LayoutError, match="no rendering of a frame"):
        score.fn(chosen, str(out), str(tmp_path / "none"), WEIGHTS)


def test_the_iphone_scenes_share_masks_among_their_splits(tmp_path: Path) -> None:
    test = tmp_path / "test"
    (test / "metadata").mkdir(parents=True)
    write_scene(test, "wildrayzer_desk_context_2_split_0", 0)
    (test / "wildrayzer_final_context_2.txt").write_text(
        "dynamic_re10k/test/metadata/wildrayzer_desk_context_2_split_0.json\n"
    )
    chosen = load.fn("d-re10k-iphone", str(tmp_path))
    assert chosen.names == ("wildrayzer_desk/00000.png", "wildrayzer_desk/00001.png")
    assert chosen.truths["wildrayzer_desk/00000.png"].endswith("wildrayzer_desk/00000.npy")


def test_missing_and_malformed_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        LayoutError, match=r"missing .*dre10k_final_context_2\.txt\. Expected test/"
    ):
        found(tmp_path / "nothing")
    root = write_d_re10k(tmp_path / "data")
    mask = root / "test" / "binary_masks" / "room_clip0001" / "00001.npy"
    content = mask.read_bytes()
    mask.unlink()
    with pytest.raises(LayoutError, match=r"missing .*room_clip0001/00001\.npy"):
        found(root)
    mask.write_bytes(b"no array")
    with pytest.raises(LayoutError, match=r"00001\.npy: no array of numpy"):
        score.fn(found(root), str(tmp_path / "out"), None, WEIGHTS)
    mask.write_bytes(b"")
    with pytest.raises(LayoutError, match=r"00001\.npy: no array of numpy"):
        score.fn(found(root), str(tmp_path / "out"), None, WEIGHTS)
    np.savez(mask.with_suffix(".npz"), a=np.zeros((2, 2)))
    mask.with_suffix(".npz").rename(mask)
    with pytest.raises(LayoutError, match=r"00001\.npy: expected a mask \(H, W\), got"):
        score.fn(found(root), str(tmp_path / "out"), None, WEIGHTS)
    np.save(mask, np.zeros(3))
    with pytest.raises(LayoutError, match=r"expected a mask \(H, W\), got \(3,\)"):
        score.fn(found(root), str(tmp_path / "out"), None, WEIGHTS)
    mask.write_bytes(content)
    metadata = root / "test" / "metadata" / "room_clip0001.json"
    metadata.write_text('{"frames": [{"path": "x"}]}')
    with pytest.raises(
        LayoutError, match=r"room_clip0001\.json: no frames \(KeyError\('image_path"
    ):
        found(root)
    metadata.unlink()
    with pytest.raises(LayoutError, match=r"missing .*metadata/room_clip0001\.json"):
        found(root)
