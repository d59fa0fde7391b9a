"""Clustering, co-segmentation and parts as flows, on a tiny model and drawn pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from set_memory import STRIDE, image_names, write_set

from flows.cluster import ClusterSummary, cluster
from flows.cosegment import cosegment
from flows.extract import extract
from flows.parts import parts
from storage.codebooks import read_codebook, write_codebook
from storage.descriptors import DescriptorStore
from storage.errors import StorageError
from storage.results import read_indexed_png, read_mask
from tasks.cluster import ClusterReport, lloyd, plan_blocks
from tasks.config import CosegmentConfig, ExtractConfig
from tasks.cosegment import cosegment_set
from tasks.foreground import learn_stored
from tasks.joined import fit_axes
from tasks.ops.kmeans import assign, mean_squared_distance
from tasks.ops.log_bin import log_bin
from tasks.ops.patch_grid import unit
from tasks.part_codebook import crops, learn_parts
from tasks.parts import parts_set
from tasks.parts_config import ClusterConfig, PartsConfig
from tasks.report_records import read_record
from tasks.sets import ImageSet
from tasks.stored import stored_grid

pytestmark = pytest.mark.usefixtures("prefect_server")

TINY = {
    "model": "test_vit",
    "weights": "random",
    "layer": 3,
    "facet": "key",
    "stride": 8,
    "size": 64,
    "precision": "float32",
}
PARTS = PartsConfig(
    **TINY, also=("4.token",), parts=2, hierarchy=1, margin=0, pictures=False, partition_size=4
)


@pytest.fixture
def store(photos: Path, tmp_path: Path) -> str:
    url = str(tmp_path / "store")
    extract(str(photos), url, ExtractConfig(**TINY, partition_size=2))
    return url


def all_descriptors(url: str) -> np.ndarray:
    opened = DescriptorStore.open(url)
    names = [name for block in plan_blocks(opened) for name in block]
    flat = [opened.read(name, "descriptors").astype(np.float32) for name in names]
    return unit(np.concatenate([one.reshape(-1, one.shape[-1]) for one in flat]))


def test_cluster_writes_a_codebook_that_labels_every_patch(store: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = cluster(store, str(out), ClusterConfig(clusters=3, spherical=False))
    arrays, attributes = read_codebook(str(out / "codebook.zarr"))
    opened = DescriptorStore.open(store)
    sizes = np.zeros(3, int)
    for name in opened.index():
        raw = opened.read(name, "descriptors").astype(np.float32)
        labels = assign(raw, arrays["centers"])
        assert_array_equal(read_indexed_png(str(out / f"labels/{Path(name).stem}.png")), labels)
        sizes += np.bincount(labels.ravel(), minlength=3)
    assert_array_equal(arrays["sizes"], sizes)
    assert summary.report.patches == sizes.sum()
    assert attributes["error"] == pytest.approx(summary.report.error)
    rows = json.loads((out / "clusters.json").read_text())
    assert [row["patches"] for row in rows] == sizes.tolist()
    assert all(np.diff([n["squared_distance"] for n in row["nearest"]]).min() >= 0 for row in rows)
    name, x, y = (rows[1]["nearest"][0][key] for key in ("name", "x", "y"))
    row, col = stored_grid(opened.info.config, opened.find(name)).to_row_col(np.array([x, y]))
    raw = opened.read(name, "descriptors").astype(np.float32)[round(row), round(col)]
    assert ((raw - arrays["centers"][1]) ** 2).sum() == pytest.approx(
        rows[1]["nearest"][0]["squared_distance"], rel=1e-3
    )
    page, inside = read_record(f"{out}/set.json"), read_record(f"{out}/clusters/set.json")
    assert list(page.images[0].pictures) == ["image", "saliency", "clusters", "pca"]
    assert page.numbers == {
        "images": len(opened.index()), "clusters": 3, "patches": sizes.sum(),
    }  # fmt: skip
    assert [image.numbers["patches"] for image in inside.images] == sorted(sizes, reverse=True)
    assert Path(summary.page).exists()


@pytest.mark.parametrize(
    ("report", "line"),
    [
        (
            ClusterReport(1, 1, 1, 0.5, 1, 2),
            "1 cluster of 1 patch in 1 image, {} 0.5000 after 1 step",
        ),
        (
            ClusterReport(12, 26, 34038, 0.0617, 30, 2),
            "12 clusters of 34,038 patches in 26 images, {} 0.0617 after 30 steps",
        ),
    ],
)
def test_the_outcome_is_a_sentence(report: ClusterReport, line: str) -> None:
    found = ClusterSummary("out", "out/report/index.html", report).line
    assert found == line.format("mean squared distance")


def test_log_binned_clusters_label_every_patch_by_its_surroundings(
    store: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    summary = cluster(store, str(out), ClusterConfig(clusters=3, hierarchy=2))
    arrays, attributes = read_codebook(str(out / "codebook.zarr"))
    assert attributes["hierarchy"] == 2
    opened = DescriptorStore.open(store)
    total = 0.0
    for name in opened.index():
        built = unit(log_bin(opened.read(name, "descriptors").astype(np.float32), 2))
        labels = assign(built, arrays["centers"])
        assert_array_equal(read_indexed_png(str(out / f"labels/{Path(name).stem}.png")), labels)
        flat = built.reshape(-1, built.shape[-1])
        total += len(flat) * mean_squared_distance(flat, arrays["centers"])
    assert summary.report.error == pytest.approx(total / summary.report.patches, rel=1e-4)


def test_lloyd_is_bit_equal_on_threads_and_on_any_number_of_workers(store: str) -> None:
    points = all_descriptors(store)
    config = ClusterConfig(clusters=4, steps=5, tolerance=0.0)
    blocks = plan_blocks(DescriptorStore.open(store))
    assert len(blocks) >= 4
    seeds = points[:4]
    centers, total, _ = lloyd(store, blocks, seeds, config)
    assert total.inertia / len(points) == pytest.approx(mean_squared_distance(points, centers))
    for workers in (1, 2, 4):
        with (
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=False,
                dashboard_address="127.0.0.1:0",
            ) as local,
            Client(local) as client,
        ):
            far, far_total, _ = client.submit(lloyd, store, blocks, seeds, config).result()
        assert_array_equal(far, centers)
        assert far_total.inertia == total.inertia


def test_an_empty_store_and_too_many_clusters_are_refused(store: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at most 256 clusters: add --no-label-maps"):
        cluster(store, str(tmp_path / "o"), ClusterConfig(clusters=300))


def test_parts_have_the_images_size_and_the_codebook_finds_them_again(
    photos: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    store = str(tmp_path / "store")
    parts(str(photos), str(first), PARTS.replace(pictures=True, attention_heads=True), store)
    page = read_record(f"{first}/cats/set.json")
    assert {"parts", "overlay", "heads"} <= page.images[0].pictures.keys()
    assert list(page.legend) == [f"part {row.id}" for row in page.clusters]
    assert [source.id for source in page.sketches] == ["main", "main-bins", "4-token"]
    assert (first / "report" / "pages" / "cats-parts-inspector.html").exists()
    again = PARTS.replace(codebook=str(first / "cats/codebook.zarr"))
    parts(str(photos / "cats"), str(second), again, str(tmp_path / "other"))
    for picture in sorted((photos / "cats").glob("*.png")):
        labels = read_indexed_png(str(first / f"cats/parts/{picture.name}"))
        mask = read_mask(str(first / f"cats/masks/{picture.name}"))
        with Image.open(picture) as image:
            assert labels.shape == image.size[::-1]
        assert (labels > 0)[mask].all()
        assert labels.max(initial=0) <= 2
        assert_array_equal(read_indexed_png(str(second / f"cats/parts/{picture.name}")), labels)
    centers = read_codebook(str(first / "cats/codebook.zarr"))[0]["centers"]
    assert_allclose(read_codebook(str(second / "cats/codebook.zarr"))[0]["centers"], centers)


def test_another_codebook_at_the_same_place_is_not_taken_for_the_first(tmp_path: Path) -> None:
    write_set(tmp_path, 3)
    store, images = str(tmp_path / "store"), ImageSet("discs", image_names(3))
    config = PartsConfig(stride=STRIDE, pictures=False)
    parts_set(store, images, str(tmp_path / "a"), config)
    kept = str(tmp_path / "a/discs/codebook.zarr")
    again, out = config.replace(codebook=kept), str(tmp_path / "b")
    assert [parts_set(store, images, out, again).reused for _ in range(2)] == [False, True]

    def labels(run: str) -> list[np.ndarray]:
        return [read_indexed_png(f"{tmp_path}/{run}/discs/parts/{i:05d}.png") for i in range(3)]

    first = labels("a")
    assert_array_equal(np.unique(first[0]), [0, 1, 2, 3, 4])
    assert_array_equal(labels("b"), first)
    arrays, attributes = read_codebook(kept)
    write_codebook(kept, arrays | {"centers": arrays["centers"][::-1]}, attributes)
    assert not parts_set(store, images, out, again).reused
    assert_array_equal(labels("b"), np.array([0, 4, 3, 2, 1])[first])


def test_nothing_is_left_of_an_image_that_left_the_set(tmp_path: Path) -> None:
    write_set(tmp_path, 3)
    store, out = str(tmp_path / "store"), tmp_path / "out"
    config = CosegmentConfig(stride=STRIDE)
    for count in (3, 2):
        report = cosegment_set(store, ImageSet("discs", image_names(3)[:count]), str(out), config)
        assert report.likeness is not None
        numbers = {one.name[:5] for one in (out / "discs/pictures").iterdir()}
        assert numbers == {one.stem for one in (out / "discs/masks").iterdir()}
        assert len(numbers) == count
        (note,) = read_record(f"{out}/discs/set.json").notes
        assert note.startswith(f"likeness {report.likeness:.2f}: how well the objects match")


def test_crops_bring_mirrored_views_of_the_same_foreground(photos: Path, tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    everything = PARTS.replace(rule="relative", ratio=0.01)
    config = everything.replace(crops=2)
    extract(str(photos), store, config.extraction())
    opened = DescriptorStore.open(store)
    names = sorted(name for name in opened.index() if name.startswith("dogs"))
    model, sample = learn_stored(opened, names, config, fit_axes(opened, names, config))
    left = np.zeros(sample.units[0].shape[:2], np.float32)
    left[:, : left.shape[1] // 2] = 1
    views = crops(opened, names[0], model, left, config)
    assert len(views) == 4  # two crops, each with its mirror image
    for number, (descriptors, inside) in enumerate(views):
        columns = inside.mean(axis=0)
        assert_allclose(np.linalg.norm(descriptors, axis=2), 1, atol=1e-5)
        assert (columns[0], columns[-1]) == ((1, 0) if number % 2 == 0 else (0, 1))
    plain, varied, again = (
        learn_parts(opened, sample, model, c).book.centers for c in (everything, config, config)
    )
    assert len(varied) == len(plain)
    assert not np.allclose(varied, plain)
    assert_array_equal(again, varied)


def test_a_codebook_of_other_descriptors_is_refused(photos: Path, tmp_path: Path) -> None:
    parts(str(photos / "dogs"), str(tmp_path / "a"), PARTS)
    kept = str(tmp_path / "a/dogs/codebook.zarr")

    def refused(because: str, **settings: object) -> None:
        """Before anything is extracted."""
        with pytest.raises(StorageError, match=because):
            parts(str(photos / "dogs"), str(tmp_path / "b"), PARTS.replace(**settings))
        assert not (tmp_path / "b").exists()

    refused("made from other descriptors", layer=2, codebook=kept)
    refused("holds no codebook", codebook=str(tmp_path / "none.zarr"))
    write_codebook(str(tmp_path / "clusters.zarr"), {"centers": np.eye(2)}, {"kind": "clusters"})
    refused("holds clusters; expected the codebook", codebook=str(tmp_path / "clusters.zarr"))
    chunk = tmp_path / "a/dogs/codebook.zarr/axes/c/0/0"
    chunk.write_bytes(chunk.read_bytes()[:100])
    refused("is damaged .*again", codebook=kept)


def test_crops_and_codebooks_of_other_axes_are_refused() -> None:
    for settings in ({"crops": 3}, {"codebook": "codebook.zarr"}):
        with pytest.raises(ValueError, match="along axes of their store's own"):
            PartsConfig(pca=64, **settings)


def odd_sets(folder: Path) -> None:
    """One image; three identical ones; all black; each in a folder of its own."""
    rng = np.random.default_rng(0)
    noise = [Image.fromarray(rng.integers(0, 255, (64, 96, 3), np.uint8)) for _ in range(2)]
    black = Image.fromarray(np.zeros((64, 96, 3), np.uint8))
    for name, pictures in {
        "one": noise[:1],
        "same": noise[1:] * 3,
        "black": [black] * 2,
    }.items():
        (folder / name).mkdir(parents=True)
        for number, picture in enumerate(pictures):
            picture.save(folder / name / f"{number}.png")


def test_odd_sets_get_masks_and_a_warning_instead_of_a_traceback(tmp_path: Path) -> None:
    odd_sets(tmp_path / "images")
    out = tmp_path / "out"
    summary = cosegment(str(tmp_path / "images"), str(out), PARTS)
    reports = {report.name: report for report in summary.sets}
    assert {name: r.masks for name, r in reports.items()} == {"one": 1, "same": 3, "black": 2}
    assert "one image only" in reports["one"].warnings[0]
    same = [read_mask(str(out / f"same/masks/{i}.png")) for i in range(3)]
    assert_array_equal(same[0], same[1])
    assert_array_equal(same[0], same[2])
    assert not any(read_mask(str(out / f"black/masks/{i}.png")).any() for i in range(2))
    assert set(reports["black"].warnings) >= {
        f"black/{i}.png is of one colour; its mask is empty" for i in range(2)
    }
