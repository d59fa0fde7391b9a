"""A survey says of a source what comparing every record with it says, without the records."""

from collections.abc import Sequence

import numpy as np
import pytest

from storage import snapshot_writer
from storage import survey as module
from storage.commits import load_state
from storage.compact import compact
from storage.descriptors import ArraySpec, DescriptorStore, Failure
from storage.files import join, list_folder, remove
from storage.images import ImageRef
from storage.planning import Partition, compare, plan_partitions

SPECS = (ArraySpec("saliency", ("row", "col"), (1, 1), "float32"),)
NAMES = [f"{number:02d}.jpg" for number in range(12)]


def make(url: str) -> DescriptorStore:
    return DescriptorStore.create_or_open(url, {"model": "tiny"}, {"sha256": "0"}, {})


def image(name: str, version: str = "v1", size: int = 10) -> ImageRef:
    return ImageRef(name, f"/{name}", size, version)


def plan(store: DescriptorStore, refs: Sequence[ImageRef], size: int = 5) -> tuple[Partition, ...]:
    found = store.survey(refs)
    sized = [(ref, 30, 20, (1, 1)) for ref in found.changes.todo]
    return plan_partitions(sized, found.index, store.config_digest, size)


def write(store: DescriptorStore, partition: Partition, broken: Sequence[str] = ()) -> None:
    writer = store.begin(partition, SPECS)
    bad = [Failure(item.ref, "broken") for item in partition.images if item.ref.name in broken]
    for item in partition.images:
        if item.ref.name not in broken:
            writer.append(item.ref, 30, 20, {"saliency": np.zeros((1, 1), np.float32)})
    writer.commit(bad)


def test_random_histories_are_surveyed_as_every_record_tells(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LISTED", 3)
    rng = np.random.default_rng(0)
    seen = set()
    for history in range(4):
        store = make(f"{tmp_path}/{history}")
        for step in range(7):
            refs = [image(n, f"v{rng.integers(2)}") for n in NAMES if rng.random() < 0.8]
            refs += [refs[0]] * int(rng.integers(2))  # listed twice
            rng.shuffle(refs)  # type: ignore[arg-type]
            retry = bool(rng.integers(2))
            found = store.survey(refs, retry_failures=retry)
            whole = load_state(store.url)
            assert found.changes == compare(refs, whole, retry_failures=retry)
            assert found.stored == len(whole)
            for name in {ref.name for ref in found.changes.todo} | set(found.changes.gone):
                assert found.index.get(name) == whole.get(name)
            changes = found.changes
            seen |= {
                k for k in ("new", "changed", "retried", "gone", "failed") if getattr(changes, k)
            }
            # Two writers with different listings, who know nothing of each other.
            once = list(dict.fromkeys(refs))
            plans = [plan(store, once), plan(store, once[: len(once) // 2], size=2)]
            for partitions in plans:
                for partition in partitions:
                    write(store, partition, broken=[NAMES[int(rng.integers(12))]])
            make(store.url).mark_gone(changes.gone)
            if step % 3 == 2:
                compact(make(store.url), size=int(rng.integers(2, 12)))
    assert seen == {"new", "changed", "retried", "gone", "failed"}


def test_a_source_as_it_is_stored_costs_no_record(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = [image(name) for name in NAMES]
    store = make(place)
    for partition in plan(store, refs):
        write(store, partition)
    compact(store)
    for partition in plan(store, [*refs, image("99.jpg")]):
        write(store, partition)
    refs.append(image("99.jpg"))

    def refuse(*_: object) -> None:
        raise AssertionError("read the records of a store in which nothing changed")

    monkeypatch.setattr(module.StateFiles, "load", refuse)
    found = store.survey(refs)
    assert (found.changes.unchanged, found.stored, found.changes.todo) == (13, 13, ())
    assert len(list_folder(join(place, "commits"))) == 5


def test_marks_are_written_from_what_is_needed_of_the_state(tmp_path: object) -> None:
    """Marks of a store that was never read whole supersede what they should."""
    refs = [image(name) for name in NAMES]
    store = make(f"{tmp_path}/store")
    for partition in plan(store, refs):
        write(store, partition, broken=["03.jpg"])
    make(store.url).mark_gone(["00.jpg", "03.jpg"])
    make(store.url).record_failures([Failure(image("01.jpg", "v2"), "broken now")])
    state = load_state(store.url)
    assert {mark.name: mark.state for mark in state.marks.values()} == {
        "00.jpg": "gone",
        "01.jpg": "failed",
        "03.jpg": "gone",
    }
    with pytest.raises(KeyError, match=r"holds no image 'x\.jpg'"):
        make(store.url).mark_gone(["x.jpg"])


def test_an_index_says_what_its_commits_say(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names that look like the JSON around them, in pieces of a few records."""
    monkeypatch.setattr(snapshot_writer, "_DEALT", 3)
    monkeypatch.setattr(snapshot_writer, "_BUCKET_RECORDS", 2)
    odd = ["],[", '"', "a,null", "\x01]\x1f[", "ü/é.jpg", "\\u0000", "clip.mp4#000001", "[]", "{}"]
    refs = [image(name, version=name) for name in sorted(odd)]
    store = make(f"{tmp_path}/store")
    for partition in plan(store, refs, size=2):
        write(store, partition, broken=["[]"])
    make(store.url).mark_gone(['"'])
    told = load_state(store.url)
    assert (len(told.images), len(told.marks)) == (7, 2)
    compact(make(store.url), size=1)
    for key in list_folder(join(store.url, "commits")):
        remove(join(store.url, "commits", key))
    kept = load_state(store.url)
    assert (kept.images, kept.partitions) == (told.images, told.partitions)
    assert kept.marks.keys() == told.marks.keys()
    assert {mark[:5] for mark in kept.marks.values()} == {mark[:5] for mark in told.marks.values()}
    for name in told.images:
        assert make(store.url).find(name) == told[name]
