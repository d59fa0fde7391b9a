"""Extraction tasks without a flow: axes before anything is written, two writers at once."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from random_photos import write_photo

from storage.descriptors import DescriptorStore
from storage.errors import StorageError, StoreMismatchError
from storage.images import list_images, read_image
from tasks import axes, extract
from tasks.axes import fit_bases, keep_bases
from tasks.config import ExtractConfig
from tasks.describe import describe
from tasks.plan import draft_extraction, expected_store, plan_extraction
from tasks.summary import summarise

# Squares need no header to be planned, so that broken images are noticed when they are decoded.
TINY = ExtractConfig(
    model="test_vit", weights="random", layer=3, facet="key", stride=8, size=64, fit="square",
    precision="float32", batch=2, partition_size=4,
)  # fmt: skip


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(6):
        pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def test_axes_are_fitted_on_other_images_where_the_sampled_ones_are_broken(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(axes, "_SAMPLE_IMAGES", 2)
    for number in (0, 3, 5):  # the sample would be 0 and 5
        (pictures / f"{number}.png").write_bytes(b"no image")
    config, url = TINY.replace(pca=16), str(tmp_path / "store")
    plan = draft_extraction(list_images(str(pictures)), "pictures", url, config)
    found = fit_bases(expected_store(url, plan.config), plan.partitions, plan.config)
    assert found["descriptors"].images == 2
    (sound := tmp_path / "sound").mkdir()
    for number in (1, 2):
        (sound / f"{number}.png").write_bytes((pictures / f"{number}.png").read_bytes())
    alone = draft_extraction(list_images(str(sound)), "sound", url, config)
    expected = fit_bases(expected_store(url, alone.config), alone.partitions, alone.config)
    np.testing.assert_array_equal(found["descriptors"].axes, expected["descriptors"].axes)

    expected_store(url, plan.config).create()
    keep_bases(url, found)
    assert fit_bases(DescriptorStore.open(url), plan.partitions, plan.config) == {}


@pytest.mark.parametrize(("broken", "pca", "message"), [(6, 8, "none of 6"), (5, 50, "49 patches")])
def test_a_first_run_that_cannot_fit_axes_leaves_no_store(
    pictures: Path, tmp_path: Path, broken: int, pca: int, message: str
) -> None:
    for number in range(broken):
        (pictures / f"{number}.png").write_bytes(b"no image")
    store = tmp_path / "store"
    with pytest.raises(StorageError, match=message):
        extract.plan.fn(str(pictures), str(store), TINY.replace(pca=pca))
    assert not store.exists()
    assert len(extract.plan.fn(str(pictures), str(store), TINY).partitions) == 2


def test_images_of_one_grid_may_have_canvases_of_several_sizes(tmp_path: Path) -> None:
    config = TINY.replace(fit="short", multiple=1, batch=4, dtype="float32")
    for number, width in enumerate((96, 97, 97, 96)):
        write_photo(tmp_path / "pictures" / f"{number}.png", number, width)
    refs = list_images(str(tmp_path / "pictures"))
    plan = plan_extraction(refs, "", str(tmp_path / "store"), config)
    (partition,) = plan.partitions
    store = DescriptorStore.open(plan.store)
    assert extract.write_partition(store, partition, plan.config).stored == 4
    pixels = [read_image(ref) for ref in refs]
    for ref, alone in zip(refs, describe(pixels, plan.config), strict=True):
        stored = DescriptorStore.open(plan.store).read(ref.name, "descriptors")
        np.testing.assert_allclose(stored, alone.arrays["descriptors"], atol=1e-5)


def test_of_two_writers_of_a_partition_one_has_stored_it(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_extraction(list_images(str(pictures)), "", str(tmp_path / "store"), TINY)
    # Both looked before either had committed.
    monkeypatch.setattr(DescriptorStore, "committed", lambda *_: None)
    store = DescriptorStore.open(plan.store)
    first, second = (
        [extract.write_partition(store, part, plan.config) for part in plan.partitions]
        for _ in range(2)
    )
    lines = [summarise(plan, reports, ()).line for reports in (first, second)]
    assert lines == [
        "6 images stored, 0 were already",
        "nothing to do: 6 images are stored already",
    ]


def stored(source: Path, url: str, gone: str = "guard") -> dict[str, bytes]:
    """Extract a source, and what the store then holds."""
    plan = extract.plan.fn(str(source), url, TINY.replace(gone=gone))
    store = DescriptorStore.open(url)
    for part in plan.partitions:
        extract.write_partition(store, part, plan.config)
    store.refresh()
    return {name: store.read(name, raw=True).tobytes() for name in store.index()}


def test_another_source_of_the_same_names_replaces_nothing_by_mistake(
    pictures: Path, tmp_path: Path
) -> None:
    url, other = str(tmp_path / "store"), tmp_path / "other"
    first = stored(pictures, url)
    shutil.copytree(pictures, other)
    for file in other.iterdir():
        os.utime(file, (1, 1))
    assert stored(other, url) == first  # moved, and all touched
    for number, file in enumerate(sorted(other.iterdir())):
        write_photo(file, seed=number)
    changed = stored(other, url)  # other pictures at the same place: changed
    assert changed.keys() == first.keys()
    assert changed != first
    for gone in ("guard", "keep"):
        with pytest.raises(
            StoreMismatchError, match=r"other images under 6 of the names .* 0\.png"
        ):
            stored(pictures, url, gone)
    (other / "0.png").write_bytes((pictures / "0.png").read_bytes())
    stored(other, url)
    # One that is as it was stored, wherever it lies, shows that it is the source, but a second
    # source that is to be kept beside it must have names of its own.
    os.utime(pictures / "0.png", ns=((other / "0.png").stat().st_mtime_ns,) * 2)
    with pytest.raises(StoreMismatchError, match="under 5 of the names"):
        stored(pictures, url, "keep")
    assert stored(pictures, url) == first
