"""A clip whose descriptors lie in a store is carried on without the network."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storage.descriptors import DescriptorStore
from storage.errors import StorageError
from storage.images import list_images
from storage.results import read_indexed_png, write_indexed_png
from tasks import clip_descriptors
from tasks.config import ExtractConfig
from tasks.extract import write_partition
from tasks.plan import plan_extraction
from tasks.propagate import ClipJob, propagate_clip
from tasks.video_config import PropagateConfig

FRAMES = 4
STORED = ExtractConfig(
    model="test_vit", weights="random", layer=1, also=("0.token",), stride=8, size=64,
    precision="float32", dtype="float32",
)  # fmt: skip
PLAIN = PropagateConfig(weights="random", precision="float32", recent=2, pictures=False)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path / "clips" / "walk"
    folder.mkdir(parents=True)
    scene = rng.integers(0, 256, (64, 120, 3), dtype=np.uint8)
    for index in range(FRAMES):
        Image.fromarray(np.roll(scene, 8 * index, axis=1)[:, :96]).save(folder / f"{index}.png")
    mask = np.zeros((64, 96), np.uint8)
    mask[16:48, 24:56] = 1
    write_indexed_png(str(tmp_path / "mask.png"), mask)
    return folder.parent


def extract(source: Path, store: Path, config: ExtractConfig = STORED) -> str:
    plan = plan_extraction(list_images(str(source)), str(source), str(store), config)
    for partition in plan.partitions:
        write_partition(DescriptorStore.open(str(store)), partition, plan.config)
    return str(store)


def run(clips: Path, out: Path, config: PropagateConfig) -> dict[str, np.ndarray]:
    mask = str(clips.parent / "mask.png")
    propagate_clip.fn(ClipJob("walk", str(clips / "walk"), mask, str(out)), config)
    return {p.stem: read_indexed_png(str(p)) for p in (out / "masks").iterdir()}


def test_stored_descriptors_give_the_masks_of_computed_ones(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The store is of the folder above: frames are found by where they lie, not by name.
    store = extract(clips, tmp_path / "store")
    same = {name: getattr(STORED, name) for name in ("model", "layer", "also", "stride", "size")}
    computed = PLAIN.replace(**same, stride_x=None, passes="strided")
    expected = run(clips, tmp_path / "computed", computed)
    monkeypatch.delattr(clip_descriptors, "Extractor")
    found = run(clips, tmp_path / "read", PLAIN.replace(store=store))
    assert len(found) == FRAMES
    for name, mask in expected.items():
        np.testing.assert_array_equal(found[name], mask, name)


def test_what_does_not_fit_the_store_is_refused(clips: Path, tmp_path: Path) -> None:
    store = extract(clips, tmp_path / "store")
    config = PLAIN.replace(store=store)
    with pytest.raises(StorageError, match=r"made with layer = 1, this run has layer = 0\. Leave"):
        run(clips, tmp_path / "out", config.replace(layer=0))
    with pytest.raises(StorageError, match="no store here"):
        run(clips, tmp_path / "out", config.replace(store=str(tmp_path / "nothing")))
    frame = clips / "walk" / "2.png"
    frame.write_bytes((clips / "walk" / "3.png").read_bytes())
    with pytest.raises(StorageError, match=r"no descriptors of 2 as it is now\. Run `patchflow"):
        run(clips, tmp_path / "out", config)
    elsewhere = clips.rename(tmp_path / "moved")
    with pytest.raises(StorageError, match=r"no descriptors of .*walk as it is now"):
        run(elsewhere, tmp_path / "out", config)
