"""The descriptor store's promises, in memory, on disk, on S3 and on Azure."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import zarr

from storage.descriptors import ArraySpec, DescriptorStore, Failure
from storage.errors import StorageError, StoreCorruptError, StoreMismatchError
from storage.files import exists, join, list_folder, read_bytes, remove, write_bytes
from storage.images import ImageRef
from storage.lazy import dask_patches
from storage.planning import Partition, compare, plan_partitions
from storage.results import read_json

CONFIG = {"model": "tiny", "layers": (3, 5), "size": {"short": 64}}
WEIGHTS = {"name": "random", "sha256": "0" * 64}
GRID = (3, 4)
SPECS = (
    ArraySpec("descriptors", ("row", "col", "channel"), (*GRID, 8), "float16"),
    ArraySpec("saliency", ("row", "col"), GRID, "float32"),
    ArraySpec("cls", ("channel",), (8,), "float16"),
)


def make(url: str) -> DescriptorStore:
    return DescriptorStore.create_or_open(url, CONFIG, WEIGHTS, {"numpy": np.__version__})


def listing(names: Sequence[str], version: str = "v1") -> list[ImageRef]:
    return [ImageRef(name, f"/source/{name}", 1000, version) for name in names]


def arrays_of(ref: ImageRef) -> dict[str, np.ndarray]:
    """Numbers that depend on the image alone, so that any mix-up shows."""
    rng = np.random.default_rng([*ref.name.encode(), *ref.version.encode()])
    return {spec.name: rng.random(spec.shape).astype(spec.dtype) for spec in SPECS}


def plan(store: DescriptorStore, refs: Sequence[ImageRef], size: int = 3) -> tuple[Partition, ...]:
    todo = compare(refs, store.index()).todo
    sized = ((ref, 64, 48, GRID) for ref in todo)
    return plan_partitions(sized, store.index(), store.config_digest, size)


def write(store: DescriptorStore, partition: Partition, broken: Sequence[str] = ()) -> None:
    writer = store.begin(partition, SPECS)
    for image in partition.images:
        if image.ref.name not in broken:
            writer.append(image.ref, image.width, image.height, arrays_of(image.ref))
    bad = [image.ref for image in partition.images if image.ref.name in broken]
    writer.commit([Failure(ref, "broken", "Traceback ...") for ref in bad])


def run(store: DescriptorStore, refs: Sequence[ImageRef], broken: Sequence[str] = ()) -> int:
    """One run of extraction; the number of partitions that it had to compute."""
    store.refresh()
    gone = compare(refs, store.index()).gone
    partitions = plan(store, refs)
    for partition in partitions:
        write(store, partition, broken)
    store.mark_gone(gone)
    store.refresh()
    return len(partitions)


def expect(store: DescriptorStore, refs: Sequence[ImageRef]) -> None:
    """The store holds exactly these images, with their own numbers."""
    assert list(store.index()) == sorted(ref.name for ref in refs)
    for ref in refs:
        assert store.find(ref.name).version == ref.version
        for name, values in arrays_of(ref).items():
            np.testing.assert_array_equal(store.read(ref.name, name), values)


NAMES = ["a.jpg", "b.jpg", "sub/c.jpg", "sub/d.jpg", "é ü.png", "f.jpg", "g.jpg"]


def test_what_is_written_is_read_back(place: str) -> None:
    store, refs = make(place), listing(NAMES)
    assert run(store, refs) == 3
    expect(store, refs)
    expect(DescriptorStore.open(place), refs)
    assert [image.name for image, _ in store.iterate("cls")] != []
    for image, values in store.iterate("saliency"):
        ref = next(ref for ref in refs if ref.name == image.name)
        np.testing.assert_array_equal(values, arrays_of(ref)["saliency"])


def test_a_second_run_has_nothing_to_do(place: str) -> None:
    store, refs = make(place), listing(NAMES)
    run(store, refs)
    assert run(make(place), refs) == 0
    changes = compare(refs, store.index())
    assert (changes.unchanged, changes.todo, changes.gone) == (7, (), ())


def test_an_interrupted_run_goes_on_with_the_same_partitions(place: str) -> None:
    store, refs = make(place), listing(NAMES)
    planned = plan(store, refs)
    write(store, planned[1])
    again = plan(make(place), refs)
    assert [partition.id for partition in again] == [planned[0].id, planned[2].id]


def test_nothing_exists_before_its_commit(place: str) -> None:
    store, refs = make(place), listing(NAMES)
    partition = plan(store, refs, size=7)[0]
    writer = store.begin(partition, SPECS)
    for image in partition.images:
        writer.append(image.ref, 64, 48, arrays_of(image.ref))
    assert len(store.refresh()) == 0
    assert exists(join(place, "partitions", partition.id, writer.attempt, "zarr.json"))
    writer.commit()
    expect(DescriptorStore.open(place), refs)


def test_the_first_of_two_commits_stands(place: str) -> None:
    store, refs = make(place), listing(NAMES)
    partition = plan(store, refs, size=7)[0]
    writers = [store.begin(partition, SPECS) for _ in range(2)]
    for writer in writers:
        for image in partition.images:
            writer.append(image.ref, 64, 48, arrays_of(image.ref))
    commits = [writer.commit() for writer in writers]
    assert commits[0].attempt == commits[1].attempt == writers[0].attempt
    assert store.committed(partition.id) == commits[0]
    expect(DescriptorStore.open(place), refs)


def test_failures_are_kept_and_retried_only_when_asked(place: str) -> None:
    store, refs = make(place), listing(NAMES)
    run(store, refs, broken=["b.jpg", "f.jpg"])
    expect(store, [ref for ref in refs if ref.name not in ("b.jpg", "f.jpg")])
    assert [(mark.name, mark.reason) for mark in store.index().failures] == [
        ("b.jpg", "broken"),
        ("f.jpg", "broken"),
    ]
    with pytest.raises(KeyError, match=r"'b.jpg' is not stored \(failed: broken\)"):
        store.read("b.jpg")
    assert run(store, refs) == 0
    changes = compare(refs, store.index(), retry_failures=True)
    assert [ref.name for ref in changes.retried] == ["b.jpg", "f.jpg"]
    sized = [(ref, 64, 48, GRID) for ref in changes.todo]
    for partition in plan_partitions(sized, store.index(), store.config_digest):
        write(store, partition)
    store.refresh()
    expect(store, refs)
    assert store.index().failures == ()


def test_failures_before_planning_are_failures_too(place: str) -> None:
    store, refs = make(place), listing(NAMES)
    store.record_failures([Failure(refs[0], "zero bytes")])
    store.refresh()
    assert len(compare(refs, store.index()).todo) == 6
    files = list_folder(join(place, "failures"))
    assert [row["reason"] for row in read_json(join(place, "failures", files[0]))] == ["zero bytes"]
    assert store.record_failures([]) is None


def test_a_partition_of_broken_images_alone_is_done(place: str) -> None:
    store, refs = make(place), listing(NAMES[:3])
    run(store, refs, broken=NAMES)
    assert run(store, refs) == 0
    assert len(store.index()) == 0
    assert store.partitions() == ()


def test_changed_gone_and_returning_images(place: str) -> None:
    store, refs = make(place), listing(NAMES)
    run(store, refs)
    changed = [*listing(["a.jpg"], "v2"), *refs[1:]]
    assert run(store, changed) == 1
    expect(store, changed)
    assert run(store, changed[:-1]) == 0
    expect(store, changed[:-1])
    with pytest.raises(KeyError, match="gone: not in the source any more"):
        store.read("g.jpg")
    assert run(store, changed) == 1
    expect(store, changed)
    assert run(store, refs) == 1  # the old version of a.jpg is put back
    expect(store, refs)
    assert run(DescriptorStore.open(place), refs) == 0


def test_two_runs_with_different_listings_count_an_image_once(place: str) -> None:
    store = make(place)
    first = plan(store, listing(NAMES[:4]), size=4)
    second = plan(store, listing(NAMES[2:]), size=5)
    write(store, first[0])
    write(store, second[0])
    fresh = DescriptorStore.open(place)
    expect(fresh, listing(NAMES))
    assert sum(len(images) for images in fresh.index().members().values()) == 7
    # The next version supersedes both copies, so that none comes back.
    changed = [*listing(NAMES[:2]), *listing(["sub/c.jpg"], "v2"), *listing(NAMES[3:])]
    assert run(fresh, changed) == 1
    expect(DescriptorStore.open(place), changed)
    assert run(DescriptorStore.open(place), changed) == 0


def test_other_settings_are_refused_by_their_first_field(place: str) -> None:
    make(place)
    make(place)
    with pytest.raises(
        StoreMismatchError, match=r"config\.size\.short = 64, .* 32\. Use short = 64"
    ):
        DescriptorStore.create_or_open(place, {**CONFIG, "size": {"short": 32}}, WEIGHTS, {})
    with pytest.raises(StoreMismatchError, match=r"weights\.sha256 = .*another store"):
        DescriptorStore.create_or_open(place, CONFIG, {"name": "random", "sha256": "1"}, {})
    with pytest.raises(StoreMismatchError, match=r"extra = nothing, .* = 1\. Leave extra out"):
        DescriptorStore.create_or_open(place, {**CONFIG, "extra": 1}, WEIGHTS, {})
    with pytest.raises(StorageError, match="no store here"):
        DescriptorStore.open(join(place, "elsewhere"))


def test_a_file_in_the_place_of_a_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"a file")
    with pytest.raises(StorageError, match="store: a file is there"):
        make(str(tmp_path / "store"))


def test_the_lazy_array_has_one_block_a_partition_and_the_rows_of_each_image(place: str) -> None:
    store, refs = make(place), listing(NAMES)
    run(store, refs)
    run(store, refs[1:])
    patches = dask_patches(store)
    assert patches.array.shape == (6 * 12, 8)
    assert patches.array.numblocks == (3, 1)
    assert patches.array.dtype == np.float16
    values = patches.array.compute()
    for ref in refs[1:]:
        start, stop = patches.ranges[ref.name]
        np.testing.assert_array_equal(
            values[start:stop].reshape(*patches.grids[ref.name], 8), arrays_of(ref)["descriptors"]
        )
    total = patches.array.astype("float64").sum().compute()
    expected = sum(arrays_of(ref)["descriptors"].astype("float64").sum() for ref in refs[1:])
    assert total == pytest.approx(expected, rel=1e-12)
    with pytest.raises(StorageError, match="no array 'keys'"):
        dask_patches(store, "keys")


def test_grids_lie_in_partitions_of_their_own(place: str) -> None:
    store, refs = make(place), listing(NAMES)
    sized = [(ref, 64, 48, (1, 2) if i % 2 else (3, 4)) for i, ref in enumerate(refs)]
    partitions = plan_partitions(sized, store.index(), store.config_digest)
    assert [(p.grid, len(p.images)) for p in partitions] == [((1, 2), 3), ((3, 4), 4)]
    same = plan_partitions(reversed(sized), store.index(), store.config_digest)
    assert same == partitions


def test_scaled_integers_are_read_as_their_values(place: str) -> None:
    specs = (
        ArraySpec("descriptors", ("row", "col", "channel"), (*GRID, 8), "int8"),
        ArraySpec("descriptors_scale", ("channel",), (8,), "float32"),
    )
    store = make(place)
    partition = plan(store, listing(NAMES[:1]))[0]
    rng = np.random.default_rng(0)
    whole = rng.integers(-127, 128, (*GRID, 8)).astype(np.int8)
    scale = rng.random(8).astype(np.float32)
    writer = store.begin(partition, specs)
    image = partition.images[0]
    writer.append(image.ref, 64, 48, {"descriptors": whole, "descriptors_scale": scale})
    writer.commit()
    store.refresh()
    np.testing.assert_array_equal(store.read("a.jpg"), whole.astype(np.float32) * scale)
    np.testing.assert_array_equal(store.read("a.jpg", raw=True), whole)
    assert dask_patches(store).array.compute().dtype == np.float32


# --- misuse ---------------------------------------------------------------------------------


def test_a_writer_refuses_what_does_not_fit(tmp_path: object) -> None:
    store, refs = make(str(tmp_path)), listing(NAMES[:2])
    writer = store.begin(plan(store, refs)[0], SPECS)
    good = arrays_of(refs[0])
    with pytest.raises(StorageError, match=r"descriptors should be \(3, 4, 8\) float16, got"):
        writer.append(refs[0], 64, 48, {**good, "descriptors": np.zeros((3, 4, 9), "float16")})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"saliency": np.zeros(GRID)},
            r"saliency should be \(3, 4\) float32, got \(3, 4\) float64",
        ),
        ({"cls": np.full(8, np.inf, np.float16)}, "cls holds NaN or infinity"),
    ],
)
def test_a_writer_refuses_wrong_values(
    tmp_path: object, change: dict[str, np.ndarray], message: str
) -> None:
    store, refs = make(str(tmp_path)), listing(NAMES[:2])
    writer = store.begin(plan(store, refs)[0], SPECS)
    with pytest.raises(StorageError, match=message):
        writer.append(refs[0], 64, 48, {**arrays_of(refs[0]), **change})
    # A refused image can still be reported as failed.
    writer.append(refs[1], 64, 48, arrays_of(refs[1]))
    writer.commit([Failure(refs[0], "not finite")])
    assert list(store.refresh()) == ["b.jpg"]


def test_a_writer_wants_every_planned_image_once(tmp_path: object) -> None:
    store, refs = make(str(tmp_path)), listing(NAMES[:2])
    writer = store.begin(plan(store, refs)[0], SPECS)
    writer.append(refs[0], 64, 48, arrays_of(refs[0]))
    with pytest.raises(StorageError, match=r"not planned for partition .*, or added before"):
        writer.append(refs[0], 64, 48, arrays_of(refs[0]))
    with pytest.raises(StorageError, match=r"1 planned images were neither .* e\.g\. b\.jpg"):
        writer.commit()
    with pytest.raises(StorageError, match="reported as failed, but"):
        writer.commit([Failure(refs[0], "x"), Failure(refs[1], "x")])


def test_an_unknown_name_gets_near_ones(tmp_path: object) -> None:
    store = make(str(tmp_path))
    run(store, listing(NAMES))
    with pytest.raises(KeyError, match=r"holds no image 'sub/cc.jpg'. Near ones: sub/c.jpg"):
        store.read("sub/cc.jpg")
    with pytest.raises(KeyError, match=r"no array 'keys'; it holds \['cls', 'descriptors'"):
        store.read("a.jpg", "keys")


# --- damage ---------------------------------------------------------------------------------


def shard_of(store: DescriptorStore, name: str) -> str:
    partition = store.partitions()[0]
    folder = join(store.url, "partitions", partition.id, partition.attempt)
    return join(folder, name, "c", *["0"] * store.array(partition.id, name).ndim)


@pytest.mark.parametrize("array", ["descriptors", "saliency", "cls"])
def test_flipped_bytes_are_noticed(place: str, array: str) -> None:
    store, refs = make(place), listing(NAMES[:3])
    run(store, refs)
    file = shard_of(store, array)
    data = bytearray(read_bytes(file))
    data[len(data) // 3] ^= 1
    write_bytes(file, bytes(data))
    with pytest.raises(StoreCorruptError, match=rf"array {array}: damaged .*verify --repair"):
        store.read_partition(store.partitions()[0].id, array)
    # Plain zarr notices as well.
    with pytest.raises(ValueError, match="checksum"):
        store.array(store.partitions()[0].id, array)[:]


def test_missing_and_cut_off_shards_are_noticed(place: str) -> None:
    store, refs = make(place), listing(NAMES[:3])
    run(store, refs)
    file = shard_of(store, "descriptors")
    write_bytes(file, read_bytes(file)[:-9])
    with pytest.raises(StoreCorruptError, match="array descriptors: damaged"):
        store.read("sub/c.jpg")
    np.testing.assert_array_equal(store.read("a.jpg"), arrays_of(refs[0])["descriptors"])
    remove(file)
    with pytest.raises(StoreCorruptError, match="shard that holds row 1 is missing"):
        store.read("b.jpg")
    with pytest.raises(StoreCorruptError, match="shard that holds row 0 is missing"):
        dask_patches(store).array.sum().compute(scheduler="sync")
    assert np.isnan(store.array(store.partitions()[0].id)[:]).all()


def test_a_lost_partition_and_a_cut_off_commit_are_named(place: str) -> None:
    store, refs = make(place), listing(NAMES)
    run(store, refs)
    partition = store.partitions()[0]
    remove(join(place, "partitions", partition.id))
    lost = store.index().members()[partition.id][0].name
    with pytest.raises(StoreCorruptError, match=rf"partition {partition.id}: its group .* missing"):
        store.read(lost)
    file = join(place, "commits", f"{partition.id}.json")
    write_bytes(file, read_bytes(file)[:200])
    with pytest.raises(StoreCorruptError, match=rf"{partition.id}\.json: cut off or not JSON"):
        DescriptorStore.open(place).index()


def test_a_store_opens_in_plain_zarr_and_xarray(place: str) -> None:
    import xarray as xr

    store, refs = make(place), listing(NAMES[:3])
    run(store, refs, broken=["b.jpg"])
    partition = store.partitions()[0]
    url = join(place, "partitions", partition.id, partition.attempt)
    options = None if "://" not in url else {}
    group = zarr.open_group(url, mode="r", storage_options=options)
    assert group.attrs["names"] == ["a.jpg", "sub/c.jpg"]
    dataset = xr.open_zarr(url, consolidated=False, storage_options=options)
    assert dict(dataset.sizes) == {"image": 2, "row": 3, "col": 4, "channel": 8}
    assert dataset.descriptors.dims == ("image", "row", "col", "channel")
    np.testing.assert_array_equal(
        dataset.descriptors.isel(image=1), arrays_of(refs[2])["descriptors"]
    )
