"""One store read as xarray, Parquet, .npz, a torch dataset: the same numbers everywhere."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from storage.descriptors import ArraySpec, DescriptorStore
from storage.errors import StorageError
from storage.exports import export_npz, export_parquet, refuse_other_parquet
from storage.files import join, list_folder, read_bytes
from storage.images import ImageRef
from storage.labelled import open_dataset, open_datasets
from storage.planning import plan_partitions
from tasks.dataset import DescriptorDataset
from tasks.ops.log_bin import log_bin

GRIDS = {"a.jpg": (2, 3), "b.jpg": (2, 3), "sub/c.jpg": (4, 1), "sub/c.png": (2, 3)}


def values(name: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng([*name.encode()])
    grid = GRIDS[name]
    return {
        "descriptors": rng.normal(size=(*grid, 4)).astype(np.float16),
        "saliency": rng.random(grid).astype(np.float32),
        "cls": rng.random(4).astype(np.float16),
    }


@pytest.fixture
def store(tmp_path: Path) -> DescriptorStore:
    store = DescriptorStore.create_or_open(str(tmp_path / "store"), {}, {"sha256": "0"}, {})
    sized = [(ImageRef(n, f"/{n}", 1, "v"), 30, 20, grid) for n, grid in GRIDS.items()]
    for partition in plan_partitions(sized, store.index(), store.config_digest, size=2):
        rows, cols = partition.grid
        specs = [
            ArraySpec("descriptors", ("row", "col", "channel"), (rows, cols, 4), "float16"),
            ArraySpec("saliency", ("row", "col"), (rows, cols), "float32"),
            ArraySpec("cls", ("channel",), (4,), "float16"),
        ]
        writer = store.begin(partition, specs)
        for image in partition.images:
            writer.append(image.ref, 30, 20, values(image.ref.name))
        writer.commit()
    store.refresh()
    return store


def test_an_xarray_dataset_for_each_grid(store: DescriptorStore) -> None:
    datasets = open_datasets(store)
    assert sorted(datasets) == [(2, 3), (4, 1)]
    wide = datasets[2, 3]
    assert dict(wide.sizes) == {"image": 3, "row": 2, "col": 3, "channel": 4}
    assert wide.descriptors.chunks is not None
    for number, name in enumerate(wide.name.values):
        for array, expected in values(name).items():
            np.testing.assert_array_equal(wide[array].isel(image=number).values, expected)
    assert set(wide.width.values) == {30}
    with pytest.raises(StorageError, match=r"one of the grids .*\(4, 1\).* got None"):
        open_dataset(store)


def test_npz_holds_every_array_and_names_never_collide(
    store: DescriptorStore, tmp_path: Path
) -> None:
    out = str(tmp_path / "npz")
    assert sum(export_npz(store, info.id, out) for info in store.partitions()) == 4
    assert list_folder(out) == ["a.npz", "b.npz"]
    assert list_folder(join(out, "sub")) == ["c.jpg.npz", "c.png.npz"]
    with np.load(io.BytesIO(read_bytes(join(out, "sub/c.png.npz"))), allow_pickle=False) as found:
        assert str(found["name"]) == "sub/c.png"
        assert (int(found["width"]), int(found["height"])) == (30, 20)
        for array, expected in values("sub/c.png").items():
            np.testing.assert_array_equal(found[array], expected)


def test_parquet_has_a_row_for_each_patch(store: DescriptorStore, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")
    out = str(tmp_path / "parquet")
    rows = [export_parquet(store, info.id, out) for info in store.partitions()]
    assert sum(rows) == 3 * 6 + 4
    tables = [parquet.read_table(join(out, name)) for name in list_folder(out)]
    records = [record for table in tables for record in table.to_pylist()]
    for record in records:
        expected = values(record["name"])
        row, col = record["row"], record["col"]
        np.testing.assert_array_equal(record["descriptors"], expected["descriptors"][row, col])
        assert record["saliency"] == expected["saliency"][row, col]
    assert len({(r["name"], r["row"], r["col"]) for r in records}) == 22


def test_parquet_of_another_state_is_refused(store: DescriptorStore, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")
    out = str(tmp_path / "parquet")
    ids = [info.id for info in store.partitions()]
    for key in ids:
        export_parquet(store, key, out)
    refuse_other_parquet(out, ids)  # the same export again
    with pytest.raises(StorageError, match=r"would give images twice.*another folder"):
        refuse_other_parquet(out, ids[1:])


def test_parquet_holds_heads_by_patch(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")
    store = DescriptorStore.create_or_open(str(tmp_path / "store"), {}, {"sha256": "0"}, {})
    specs = (
        ArraySpec("cls", ("cls_channel",), (5,), "float16"),
        ArraySpec("heads", ("head", "row", "col"), (2, 2, 3), "float16"),
    )
    ref = ImageRef("a.png", "/a.png", 1, "1")
    (part,) = plan_partitions([(ref, 30, 20, (2, 3))], store.index(), store.config_digest)
    heads = np.arange(12, dtype=np.float16).reshape(2, 2, 3)
    writer = store.begin(part, specs)
    writer.append(ref, 30, 20, {"cls": np.ones(5, np.float16), "heads": heads})
    writer.commit()
    store.refresh()
    assert export_parquet(store, part.id, str(tmp_path / "out")) == 6
    for record in parquet.read_table(tmp_path / "out" / f"{part.id}.parquet").to_pylist():
        assert record["heads"] == heads[:, record["row"], record["col"]].tolist()
        assert "cls" not in record


def test_a_torch_dataset_derives_bins_and_lengths(store: DescriptorStore) -> None:
    dataset = DescriptorDataset(store.url, hierarchy=2, normalise=True)
    assert len(dataset) == 4
    sample = pickle.loads(pickle.dumps(dataset))[1]  # noqa: S301 - as a worker gets it
    assert (sample.name, sample.size) == ("b.jpg", (30, 20))
    assert sample.descriptors.shape == (2, 3, 17 * 4)
    plain = torch.from_numpy(values("b.jpg")["descriptors"].astype(np.float32))
    expected = torch.nn.functional.normalize(torch.as_tensor(log_bin(plain, 2)), dim=-1)
    torch.testing.assert_close(sample.descriptors, expected)
    np.testing.assert_array_equal(sample.saliency.numpy(), values("b.jpg")["saliency"])
    with pytest.raises(KeyError, match=r"holds no image 'nowhere.jpg'"):
        DescriptorDataset(store.url, ["nowhere.jpg"])


def test_a_dataloader_gives_every_image_once(store: DescriptorStore) -> None:
    loader = torch.utils.data.DataLoader(DescriptorDataset(store.url), batch_size=None)
    assert sorted(sample.name for sample in loader) == sorted(GRIDS)
