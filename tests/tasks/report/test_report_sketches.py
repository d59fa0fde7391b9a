"""What the inspector offers beside the descriptors that a task worked on."""

from pathlib import Path

import numpy as np
from numpy.testing import assert_allclose

from storage.descriptors import ArraySpec, DescriptorStore
from storage.images import ImageRef
from storage.planning import plan_partitions
from tasks.config import ExtractConfig
from tasks.ops.log_bin import log_bin
from tasks.ops.patch_grid import unit
from tasks.ops.sketch import SketchBasis, sketch, sketch_cosine
from tasks.report_records import GridRecord, ImageRecord, SetRecord, read_record, write_record
from tasks.report_sketches import (
    binned_id,
    fit_binned,
    offer_stored_facets,
    sketch_records,
    write_sketches,
)

GRID = (4, 5)
CONFIG = ExtractConfig(layer=9, facet="token", also=("11.key",))


def stored(root: Path) -> tuple[DescriptorStore, dict[str, np.ndarray]]:
    """A store of three images with two facets, and the second facet's values."""
    rng = np.random.default_rng(0)
    store = DescriptorStore.create_or_open(
        str(root / "store"), {"model": "tiny"}, {"name": "random", "sha256": "0" * 64}, {}
    )
    names = ("descriptors", "descriptors_11_key")
    specs = [ArraySpec(n, ("row", "col", "channel"), (*GRID, 6), "float32") for n in names]
    refs = [ImageRef(f"{n}.jpg", f"/{n}.jpg", 9, "v") for n in range(3)]
    sized = ((ref, 50, 40, GRID) for ref in refs)
    keys = {}
    for partition in plan_partitions(sized, store.index(), store.config_digest, 8):
        writer = store.begin(partition, specs)
        for image in partition.images:
            arrays = {n: rng.normal(size=(*GRID, 6)).astype(np.float32) for n in names}
            keys[image.ref.name] = arrays["descriptors_11_key"]
            writer.append(image.ref, 50, 40, arrays)
        writer.commit([])
    store.refresh()
    return store, keys


def test_further_facets_of_the_store_are_offered(tmp_path: Path) -> None:
    store, keys = stored(tmp_path)
    grid = GridRecord(*GRID, 0, 0, 1, 1)
    images = (
        ImageRecord("2.jpg", 50, 40, grid=grid, sketches={"main": "x"}),
        ImageRecord("0.jpg", 50, 40),  # beyond the sketched ones: it has no grid
        ImageRecord("1.jpg", 50, 40, grid=grid),
    )
    write_record(str(tmp_path / "set"), SetRecord("coseg", "set", images))
    offer_stored_facets(store, str(tmp_path / "set"), CONFIG)
    record = read_record(str(tmp_path / "set" / "set.json"))
    (source,) = record.sketches
    assert (source.id, source.label) == ("11-key", "layer 11 key")
    assert record.images[0].sketches == {"main": "x", "11-key": "sketches/11-key/00000.bin"}
    assert record.images[1].sketches == {}
    levels = [
        np.frombuffer((tmp_path / "set" / record.images[n].sketches["11-key"]).read_bytes(), "i1")
        for n in (0, 2)
    ]
    first, second = (one.reshape(20, -1) for one in levels)
    basis = SketchBasis(
        np.empty((0, 6), np.float32), *map(np.float32, (source.offsets, source.scales))
    )
    exact = unit(keys["2.jpg"].reshape(20, 6)) @ unit(keys["1.jpg"].reshape(20, 6)).T
    assert_allclose(sketch_cosine(first, second, basis), exact, atol=0.02)


def test_binned_sketches_are_those_of_the_binned_descriptors(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    images = [rng.normal(size=(6, 7, 5)) for _ in range(3)]
    basis = fit_binned(images, channels=200)
    paths = write_sketches(str(tmp_path), 3, {"main": images[1]}, {"main-bins": basis})
    assert paths == {"main-bins": "sketches/main-bins/00003.bin"}
    levels = np.frombuffer((tmp_path / paths["main-bins"]).read_bytes(), np.int8).reshape(42, -1)
    binned = log_bin(images[1].astype(np.float32), 2).reshape(42, -1)
    assert (levels == sketch(binned, basis)).all()
    exact = unit(binned) @ unit(binned).T
    assert_allclose(sketch_cosine(levels, levels, basis), exact, atol=0.03)
    raw, bins = sketch_records({"main": basis, "main-bins": basis}, {"main": "keys"}, [])
    assert (raw.label, bins.id, bins.label) == ("keys", binned_id("main"), "keys, log-binned")
    assert raw.mean_error is None
