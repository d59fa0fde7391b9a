"""verify names what is wrong, compact and gc lose nothing, readers go on all the while."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.bases import Basis, basis_file, write_basis
from storage.compact import compact
from storage.descriptors import ArraySpec, DescriptorStore
from storage.errors import StorageError, StoreCorruptError
from storage.files import exists, join, list_folder, read_bytes, remove, write_bytes
from storage.gc import gc
from storage.images import ImageRef
from storage.planning import Partition, compare, plan_partitions
from storage.verify import verify

GRID = (2, 3)
SPECS = (
    ArraySpec("descriptors", ("row", "col", "channel"), (*GRID, 4), "float16"),
    ArraySpec("saliency", ("row", "col"), GRID, "float32"),
)
NAMES = [f"{number:02d}.jpg" for number in range(10)]


def make(url: str) -> DescriptorStore:
    return DescriptorStore.create_or_open(url, {"model": "tiny"}, {"name": "w", "sha256": "0"}, {})


def listing(versions: dict[str, str]) -> list[ImageRef]:
    return [ImageRef(name, f"/{name}", 10, version) for name, version in versions.items()]


def arrays_of(name: str, version: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng([*name.encode(), *version.encode()])
    return {spec.name: rng.random(spec.shape).astype(spec.dtype) for spec in SPECS}


def plan(store: DescriptorStore, refs: Sequence[ImageRef], size: int) -> tuple[Partition, ...]:
    todo = compare(refs, store.index()).todo
    sized = ((ref, 30, 20, GRID) for ref in todo)
    return plan_partitions(sized, store.index(), store.config_digest, size)


def write(store: DescriptorStore, partition: Partition) -> None:
    writer = store.begin(partition, SPECS)
    for image in partition.images:
        writer.append(image.ref, 30, 20, arrays_of(image.ref.name, image.ref.version))
    writer.commit()


def run(store: DescriptorStore, versions: dict[str, str], size: int = 2) -> int:
    refs = listing(versions)
    store.refresh()
    partitions = plan(store, refs, size)
    gone = compare(refs, store.index()).gone
    for partition in partitions:
        write(store, partition)
    store.mark_gone(gone)
    store.refresh()
    return sum(len(partition.images) for partition in partitions)


def expect(store: DescriptorStore, versions: dict[str, str]) -> None:
    assert {image.name: image.version for image in store.index().images.values()} == versions
    for name, version in versions.items():
        for array, values in arrays_of(name, version).items():
            np.testing.assert_array_equal(store.read(name, array), values)


FIRST = dict.fromkeys(NAMES, "v1")


def test_a_sound_store_has_no_problems(place: str) -> None:
    store = make(place)
    run(store, FIRST)
    report = verify(store)
    assert report.problems == ()
    assert (report.images, report.partitions, report.uncommitted) == (10, 5, 0)
    assert report.bytes == 10 * (2 * 3 * 4 * 2 + 2 * 3 * 4)


def test_another_size_is_another_image_whatever_the_clock_says(tmp_path: Path) -> None:
    store = make(str(tmp_path))
    run(store, FIRST)
    first, *others = listing(FIRST)
    grown = replace(first, bytes=11)
    changes = compare([grown, *others], store.index())
    assert (changes.changed, changes.unchanged) == ((grown,), 9)


def test_compact_keeps_every_number_and_readers_go_on(place: str) -> None:
    store = make(place)
    run(store, FIRST)
    reader = DescriptorStore.open(place)
    reader.index()
    report = compact(store, size=6)
    assert (report.merged, report.written, report.images, report.generation) == (5, 2, 10, 1)
    expect(reader, FIRST)
    for other in (store, DescriptorStore.open(place)):
        expect(other, FIRST)
        assert len(other.partitions()) == 2
    assert DescriptorStore.open(place).find("03.jpg").version == "v1"
    assert run(DescriptorStore.open(place), FIRST) == 0
    assert verify(store).problems == ()
    # A second time there is nothing to merge.
    assert compact(store, size=6).merged == 0


def test_gc_sweeps_what_compact_replaced_and_nothing_else(place: str) -> None:
    store = make(place)
    run(store, FIRST)
    reader = DescriptorStore.open(place)
    reader.index()
    compact(store, size=6)
    assert gc(store).partitions == 0  # younger than the grace time
    assert gc(store, grace_seconds=0, dry_run=True).partitions == 5
    assert gc(store, grace_seconds=0).partitions == 5
    assert len(list_folder(join(place, "partitions"), "directory")) == 2
    expect(DescriptorStore.open(place), FIRST)
    expect(reader, FIRST)  # its index is stale; it looks again by itself
    assert gc(store, grace_seconds=0).partitions == 0
    assert run(DescriptorStore.open(place), FIRST) == 0


def test_an_index_is_only_a_cache(place: str) -> None:
    store = make(place)
    run(store, FIRST)
    changed = FIRST | {"03.jpg": "v2"}
    run(store, changed)
    del changed["07.jpg"]
    run(store, changed)
    compact(store, size=6)
    gc(store, grace_seconds=0)
    remove(join(place, "index"))
    expect(DescriptorStore.open(place), changed)
    assert run(DescriptorStore.open(place), changed) == 0
    # What had gone can come back after all of that.
    assert run(DescriptorStore.open(place), changed | {"07.jpg": "v1"}) == 1
    expect(DescriptorStore.open(place), changed | {"07.jpg": "v1"})


def test_changes_after_compact_supersede_what_was_copied(place: str) -> None:
    store = make(place)
    run(store, FIRST)
    compact(store, size=20)
    changed = FIRST | {"00.jpg": "v2", "09.jpg": "v2"}
    assert run(store, changed) == 2
    expect(DescriptorStore.open(place), changed)
    compact(store, size=20)
    expect(DescriptorStore.open(place), changed)
    assert gc(store, grace_seconds=0).partitions > 0
    expect(DescriptorStore.open(place), changed)
    assert verify(store).problems == ()


def test_a_run_that_races_with_compact_wins(place: str) -> None:
    store = make(place)
    run(store, FIRST)
    racing = DescriptorStore.open(place)
    changed = FIRST | {"04.jpg": "v2"}
    planned = plan(racing, listing(changed), 2)
    compact(store, size=20)
    for partition in planned:
        write(racing, partition)
    expect(DescriptorStore.open(place), changed)


def test_gc_removes_attempts_that_never_committed(place: str) -> None:
    store = make(place)
    run(store, dict.fromkeys(NAMES[:2], "v1"))
    partition = plan(store, listing(FIRST), 40)[0]
    writer = store.begin(partition, SPECS)
    for image in partition.images:
        writer.append(image.ref, 30, 20, arrays_of(image.ref.name, "v1"))
    assert verify(store).uncommitted == 1
    assert gc(store).attempts == 0
    assert gc(store, grace_seconds=0).attempts == 1
    assert list_folder(join(place, "partitions", partition.id), "directory") == []
    with pytest.raises(StorageError, match="vanished while it was written, most likely by `gc`"):
        writer.commit()
    expect(DescriptorStore.open(place), dict.fromkeys(NAMES[:2], "v1"))


def test_random_histories_end_as_the_last_listing_says(tmp_path: object) -> None:
    rng = np.random.default_rng(0)
    for history in range(3):
        store = make(f"{tmp_path}/{history}")
        for step in range(8):
            kept = rng.random(10) < 0.8
            versions = {
                name: f"v{rng.integers(3)}" for name, keep in zip(NAMES, kept, strict=True) if keep
            }
            run(store, versions, size=int(rng.integers(1, 5)))
            expect(store, versions)
            if step % 3 == 1:
                compact(store, size=int(rng.integers(2, 12)))
            if step % 3 == 2:
                gc(store, grace_seconds=0)
            expect(DescriptorStore.open(store.url), versions)
            assert run(DescriptorStore.open(store.url), versions) == 0
        assert verify(store).problems == ()


# --- damage -----------------------------------------------------------------------------------


def first_shard(store: DescriptorStore) -> str:
    partition = store.partitions()[0]
    folder = join(store.url, "partitions", partition.id, partition.attempt)
    return join(folder, "descriptors", "c", "0", "0", "0", "0")


def flip(store: DescriptorStore) -> None:
    data = bytearray(read_bytes(first_shard(store)))
    data[-20] ^= 4
    write_bytes(first_shard(store), bytes(data))


def lose_shard(store: DescriptorStore) -> None:
    remove(first_shard(store))


def lose_partition(store: DescriptorStore) -> None:
    remove(join(store.url, "partitions", store.partitions()[0].id))


def cut_commit(store: DescriptorStore) -> None:
    file = join(store.url, "commits", f"{store.partitions()[0].id}.json")
    write_bytes(file, read_bytes(file)[:150])


def flip_commit(store: DescriptorStore) -> None:
    file = join(store.url, "commits", f"{store.partitions()[0].id}.json")
    write_bytes(file, read_bytes(file).replace(b'"v1"', b'"v7"', 1))


def swap_images(store: DescriptorStore) -> None:
    """Sound chunks in the wrong order: only the digests of the commit can tell."""
    import zarr

    partition = store.partitions()[0]
    url = join(store.url, "partitions", partition.id, partition.attempt)
    array: Any = zarr.open_group(url, mode="r+")["descriptors"]
    array[:] = array[:][::-1]


DAMAGES = {
    flip: ("damaged", 1),
    lose_shard: ("shard that holds row [01] is missing", 2),
    lose_partition: ("its group .* is missing or damaged", 2),
    cut_commit: ("the commit is damaged: .* cut off or not JSON", 0),
    flip_commit: ("the commit is damaged: .* does not match its digest", 0),
    swap_images: ("stored bytes have digest", 2),
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_verify_names_damage_and_repair_lets_the_next_run_mend_it(
    tmp_path: object, damage: Callable[[DescriptorStore], None]
) -> None:
    import re

    message, affected = DAMAGES[damage]
    store = make(str(tmp_path))
    run(store, FIRST)
    partition = store.partitions()[0].id
    names = {image.name for image in store.index().members()[partition]}
    damage(store)
    report = verify(DescriptorStore.open(store.url))
    assert report.problems
    assert all(re.search(message, problem.what) for problem in report.problems)
    assert all(partition in problem.where for problem in report.problems)
    found = {name for problem in report.problems for name in problem.images}
    assert len(found) == affected
    assert found <= names
    assert verify(DescriptorStore.open(store.url), repair=True).repaired
    again = DescriptorStore.open(store.url)
    assert run(again, FIRST) == (affected or 2)
    expect(again, FIRST)
    assert verify(again).problems == ()


def test_a_damaged_index_is_named_and_made_again(place: str) -> None:
    store = make(place)
    run(store, FIRST)
    compact(store, size=2)
    folder = list_folder(join(place, "index"), "directory")[0]
    file = join(place, "index", folder, "000000.json.gz")
    write_bytes(file, read_bytes(file)[:-7])
    with pytest.raises(StoreCorruptError, match=r"000000\.json\.gz: damaged .*verify --repair"):
        DescriptorStore.open(place).index()
    assert "the index is damaged" in verify(store).problems[0].what
    verify(store, repair=True)
    expect(DescriptorStore.open(place), FIRST)
    assert exists(join(place, "index", "00000001.json.damaged"))
    assert compact(store).generation >= 1
    expect(DescriptorStore.open(place), FIRST)


def test_an_index_without_its_buckets_is_named_and_made_again(place: str) -> None:
    store = make(place)
    run(store, FIRST)
    compact(store, size=2)
    (folder,) = list_folder(join(place, "index"), "directory")
    remove(join(place, "index", folder))
    reads: list[Callable[[], object]] = [
        DescriptorStore.open(place).index,
        lambda: DescriptorStore.open(place).find("00.jpg"),
        lambda: DescriptorStore.open(place).survey(listing(FIRST)),
    ]
    for read in reads:
        with pytest.raises(StoreCorruptError, match=r"index is missing .*verify --repair"):
            read()
    assert verify(store, repair=True).repaired
    expect(DescriptorStore.open(place), FIRST)


def test_axes_that_no_image_uses_are_looked_at_too(place: str) -> None:
    store = make(place)
    run(store, FIRST)
    axes = np.eye(4, dtype=np.float32)[:, :2]
    write_basis(place, Basis(axes, np.ones(2), np.ones(2), 1, 10), "descriptors_9")
    assert verify(store).problems == ()
    file = basis_file(place, "descriptors_9")
    write_bytes(file, read_bytes(file)[:-40])
    (problem,) = verify(store, repair=True).problems
    assert (problem.where, problem.images) == (file, ())
    assert "damaged" in problem.what
    assert verify(store).problems == ()
