"""A small store through its whole life: int8 along principal axes, care, export, repair."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from flows.cli import main
from flows.extract import extract
from storage.bases import read_basis
from storage.descriptors import DescriptorStore
from storage.errors import StorageError
from storage.files import list_folder
from tasks.config import ExtractConfig

pytestmark = pytest.mark.usefixtures("prefect_server")

PLAIN = ExtractConfig(
    model="test_vit", weights="random", layer=3, facet="key", stride=8, size=64,
    precision="float32", batch=3, partition_size=2, dtype="float32",
)  # fmt: skip


def command(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, arguments)
    return result.exit_code, result.output


def test_a_store_is_kept_sound(photos: Path, tmp_path: Path) -> None:
    plain, small = str(tmp_path / "plain"), str(tmp_path / "small")
    extract(str(photos), plain, PLAIN)
    extract(str(photos), small, PLAIN.replace(dtype="int8", pca=32))

    # Projected and quantised numbers are those of the plain store, to half a step.
    basis = read_basis(small)
    assert basis is not None
    whole, packed = DescriptorStore.open(plain), DescriptorStore.open(small)
    assert list(packed.index()) == list(whole.index())
    for name in whole.index():
        expected = whole.read(name) @ basis.axes
        step = packed.read(name, "descriptors_scale")
        assert packed.read(name, raw=True).dtype == np.int8
        assert (np.abs(packed.read(name) - expected) <= 0.6 * step + 1e-5).all()

    code, said = command("verify", small)
    assert code == 0
    assert "7 images in" in said
    assert "0 problems" in said

    before = len(packed.partitions())
    code, said = command("compact", small)
    assert code == 0
    assert "7 images indexed" in said
    assert len(DescriptorStore.open(small).partitions()) < before

    code, said = command("gc", small, "--grace", "0")
    assert code == 0
    code, said = command("export", small, str(tmp_path / "npz"))
    assert code == 0
    assert "7 files written" in said

    shard = next((Path(small) / "partitions").glob("*/*/descriptors/c/0/0/0/0"))
    shard.write_bytes(shard.read_bytes()[:-3] + b"???")
    code, said = command("verify", small)
    assert code == 1
    assert "partition" in said
    assert command("verify", small, "--repair")[0] == 0
    again = extract(str(photos), small, PLAIN.replace(dtype="int8", pca=32))
    assert again.stored >= 1
    code, said = command("verify", small)
    assert (code, "0 problems" in said) == (0, True)

    # Axes that are damaged, and axes that are lost.
    packing = PLAIN.replace(dtype="int8", pca=32)
    axes = tmp_path / "small" / "bases" / "descriptors.npz"
    data = bytearray(axes.read_bytes())
    data[len(data) // 2] ^= 1
    axes.write_bytes(bytes(data))
    assert command("verify", small)[0] == 1
    axes.unlink()
    code, said = command("verify", small)
    assert (code, "axes" in said) == (1, True)
    Image.new("RGB", (64, 64), "red").save(photos / "late.png")
    with pytest.raises(StorageError, match="principal axes are missing"):
        extract(str(photos), small, packing)
    assert command("verify", small, "--repair")[0] == 0
    assert extract(str(photos), small, packing).stored == 8
    assert command("verify", small)[0] == 0
    with pytest.raises(StorageError, match="needs at least as many patches"):
        extract(str(photos / "late.png"), str(tmp_path / "tiny"), packing.replace(pca=60))
    # A run that was refused leaves no settings behind for the next one to be refused by.
    assert extract(str(photos / "late.png"), str(tmp_path / "tiny"), PLAIN).stored == 1
    assert "1 image in 1 partition is sound" in command("verify", str(tmp_path / "tiny"))[1]
    assert list_folder(str(tmp_path / "npz"), "directory") == ["cats", "dogs"]
