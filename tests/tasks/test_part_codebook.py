"""What numbers the parts is kept, and not written anew while runs use it."""

from pathlib import Path

import numpy as np
from numpy.testing import assert_array_equal

from storage.codebooks import read_codebook, write_codebook
from tasks.ops.parts import PartCodebook, Surroundings
from tasks.part_codebook import PartModel, read_parts, write_parts
from tasks.parts_config import PartsConfig

CONFIG = PartsConfig()


def model(first: float) -> PartModel:
    centers = np.array([[first, 1], [2, 3]], dtype=np.float32)
    around = Surroundings(CONFIG.hierarchy, np.eye(2, dtype=np.float32))
    return PartModel(np.eye(3, 2, dtype=np.float32), around, PartCodebook(centers))


def test_an_equal_codebook_is_left_alone_and_any_other_is_replaced(tmp_path: Path) -> None:
    url = str(tmp_path / "codebook.zarr")
    write_parts(url, model(0), CONFIG)
    mark = tmp_path / "codebook.zarr" / "mark"  # writing begins with an empty folder
    mark.touch()
    write_parts(url, model(0), CONFIG)
    assert mark.exists()
    write_parts(url, model(7), CONFIG)
    assert not mark.exists()
    assert_array_equal(read_parts(url, CONFIG).book.centers, model(7).book.centers)


def test_a_codebook_of_clusters_or_of_an_older_version_is_replaced(tmp_path: Path) -> None:
    url = str(tmp_path / "codebook.zarr")
    write_parts(url, model(0), CONFIG)
    _, known = read_codebook(url)
    for attributes in ({"kind": "clusters"}, known):
        write_codebook(url, {"centers": np.eye(2)}, attributes)
        write_parts(url, model(0), CONFIG)
        assert_array_equal(read_parts(url, CONFIG).book.centers, model(0).book.centers)
