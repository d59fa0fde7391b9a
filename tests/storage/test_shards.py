from pathlib import Path

import numpy as np
import pytest
import zarr

from storage.arrays import create_group
from storage.layout import ArraySpec
from storage.shards import ShardWriter, encode_shard

SPECS = {
    "int8": ArraySpec("descriptors", ("row", "col", "channel"), (5, 4, 48), "int8"),
    "float16": ArraySpec("cls", ("cls_channel",), (48,), "float16"),
    "float32": ArraySpec("saliency", ("row", "col"), (5, 4), "float32"),
}


def images(spec: ArraySpec, count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.standard_normal((count, *spec.shape)) * 40).astype(spec.dtype)


def files(folder: Path) -> dict[str, bytes]:
    found = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in found}


@pytest.mark.parametrize("dtype", SPECS)
def test_full_shards_are_zarrs_to_the_byte(dtype: str, tmp_path: Path) -> None:
    spec, values = SPECS[dtype], images(SPECS[dtype], 64)
    group = create_group(str(tmp_path / "zarr"), [spec], 64)
    group[spec.name][:] = values
    create_group(str(tmp_path / "ours"), [spec], 64)
    writer = ShardWriter(str(tmp_path / "ours"), spec, 64)
    for image in values:
        writer.append(image)
    assert files(tmp_path / "ours") == files(tmp_path / "zarr")
    assert len(files(tmp_path / "ours" / spec.name / "c")) == 2


@pytest.mark.parametrize("dtype", SPECS)
def test_zarr_reads_a_last_shard_that_is_not_full(dtype: str, tmp_path: Path) -> None:
    spec, values = SPECS[dtype], images(SPECS[dtype], 40)
    create_group(str(tmp_path), [spec], 40)
    writer = ShardWriter(str(tmp_path), spec, 40)
    for image in values:
        writer.append(image)
    writer.flush()
    writer.flush()
    array = zarr.open_group(str(tmp_path), mode="r")[spec.name]
    np.testing.assert_array_equal(array[:], values)
    np.testing.assert_array_equal(array[39], values[39])


def test_what_was_appended_may_change_afterwards(tmp_path: Path) -> None:
    spec = SPECS["float32"]
    create_group(str(tmp_path), [spec], 2)
    writer = ShardWriter(str(tmp_path), spec, 2)
    image = np.ones(spec.shape, dtype=np.float32)
    writer.append(image)
    image[:] = 2
    writer.append(image)
    values = zarr.open_group(str(tmp_path), mode="r")[spec.name][:]
    assert (values[0] == 1).all()
    assert (values[1] == 2).all()


def test_an_array_of_other_order_and_endianness_is_stored_as_its_values(tmp_path: Path) -> None:
    spec = SPECS["float32"]
    create_group(str(tmp_path), [spec], 1)
    writer = ShardWriter(str(tmp_path), spec, 1)
    image = np.arange(20, dtype=np.float32).reshape(4, 5).T
    writer.append(image.astype(">f4"))
    np.testing.assert_array_equal(zarr.open_group(str(tmp_path), mode="r")[spec.name][0], image)


def test_the_index_by_hand() -> None:
    index, checksum, *rest = encode_shard([b"abc", b"de"], 3)
    # Three places of two numbers and the index's checksum: the first chunk begins at byte 52.
    expected = [52, 7, 59, 6, 2**64 - 1, 2**64 - 1]
    assert np.frombuffer(index, "<u8").tolist() == expected
    assert [len(part) for part in (checksum, *rest)] == [4, 3, 4, 2, 4]
    # CRC-32C of "abc", the Castagnoli polynomial's known answer.
    assert rest[1] == (0x364B3FB7).to_bytes(4, "little")
