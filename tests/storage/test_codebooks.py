"""Codebooks come back as they were written, or not at all."""

from pathlib import Path

import numpy as np
import pytest
import zarr
from numpy.testing import assert_array_equal

from storage.codebooks import read_codebook, write_codebook
from storage.errors import StorageError


@pytest.fixture
def codebook(tmp_path: Path) -> Path:
    arrays = {"centers": np.arange(12, dtype=np.float32).reshape(3, 4), "sizes": np.arange(3)}
    return Path(write_codebook(str(tmp_path / "codebook.zarr"), arrays, {"kind": "clusters"}))


def test_arrays_and_attributes_come_back(codebook: Path) -> None:
    arrays, attributes = read_codebook(str(codebook))
    assert attributes == {"kind": "clusters"}
    assert_array_equal(arrays["centers"], np.arange(12).reshape(3, 4))
    assert arrays["centers"].dtype == np.float32
    zarr.open_group(str(codebook)).attrs.put({"kind": "clusters", "arrays": ["sizes"]})
    older = read_codebook(str(codebook))  # without a digest
    assert list(older[0]) == ["sizes"]


@pytest.mark.parametrize("lost", ["centers/c/0/0", "centers/zarr.json", "centers"])
def test_what_is_lost_is_noticed(codebook: Path, lost: str) -> None:
    place = codebook / lost
    if place.is_dir():
        place.rename(codebook / "elsewhere")
    else:
        place.unlink()
    with pytest.raises(StorageError, match=r"codebook\.zarr is damaged .*Copy it again"):
        read_codebook(str(codebook))


@pytest.mark.parametrize("cut", ["centers/c/0/0", "centers/zarr.json", "zarr.json"])
def test_what_is_cut_off_is_noticed(codebook: Path, cut: str) -> None:
    place = codebook / cut
    place.write_bytes(place.read_bytes()[:15])
    with pytest.raises(StorageError, match=r"codebook\.zarr is damaged"):
        read_codebook(str(codebook))


def test_other_values_are_noticed(codebook: Path) -> None:
    zarr.open_array(str(codebook / "sizes"))[0] = 7
    with pytest.raises(StorageError, match="not those that were written"):
        read_codebook(str(codebook))
