"""JSON of a store is read strictly: what is wrong is named with its file and field."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import StoreCorruptError
from storage.layout import (
    ArraySpec,
    Commit,
    ImageRecord,
    Mark,
    attempt_time,
    new_attempt,
)
from storage.sealed import digest, seal
from storage.store_info import StoreInfo, decode_store_info, encode_store_info

ids = st.text(max_size=8)
many = st.lists(ids, max_size=2).map(tuple)
records = st.builds(
    ImageRecord, ids, ids, st.integers(0), ids, st.integers(1), st.integers(1), ids, ids, many
)
marks = st.builds(Mark, ids, ids, ids, st.sampled_from(["failed", "gone", "dropped"]), ids, many)
specs = st.builds(
    ArraySpec, ids, many, st.lists(st.integers(1), max_size=3).map(tuple), st.just("float16")
)
commits = st.builds(
    Commit,
    ids,
    ids,
    st.tuples(st.integers(0, 99), st.integers(0, 99)),
    st.lists(specs, max_size=2).map(tuple),
    st.lists(records, max_size=3).map(tuple),
    st.lists(marks, max_size=3).map(tuple),
    many,
    st.floats(0, 1e6),
)


@given(commits)
def test_a_commit_survives_its_file(commit: Commit) -> None:
    assert Commit.decode(commit.encode(), "x.json") == commit


def example() -> dict[str, Any]:
    record = ImageRecord("a.jpg", "/a.jpg", 1, "v", 2, 3, "d", "", ())
    commit = Commit("id", "attempt", (1, 2), (), (record,), ())
    raw = json.loads(commit.encode())
    del raw["digest"]
    return raw


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("grid",), None, r"x\.json: field 'grid' should be \[rows, cols\], got None"),
        (("format",), 2, r"x\.json: format 2, this program reads 1.*newer"),
        (("extra",), 1, r"x\.json: unknown field 'extra'"),
        (("id",), 3, r"x\.json: field 'id' should be a str, got 3"),
        (("images", "name"), [], r"x\.json, images: columns of different lengths"),
        (("images", "colour"), [1], r"x\.json, images: unknown field 'colour'"),
        (("arrays",), [{"name": "x"}], r"x\.json, arrays: field 'axes' is missing"),
    ],
)
def test_wrong_fields_are_named(path: tuple[str, ...], value: object, message: str) -> None:
    raw = example()
    target = raw
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    with pytest.raises(StoreCorruptError, match=message):
        Commit.decode(seal(raw), "x.json")


@pytest.mark.parametrize("field", ["format", "id", "attempt", "grid", "images", "marks"])
def test_missing_fields_are_named(field: str) -> None:
    raw = example()
    del raw[field]
    with pytest.raises(StoreCorruptError, match=f"field '{field}' is missing"):
        Commit.decode(seal(raw), "x.json")


@given(st.integers(0, 200))
def test_a_commit_cut_off_anywhere_is_corrupt(length: int) -> None:
    data = seal(example())[:length]
    with pytest.raises(StoreCorruptError, match=r"x\.json"):
        Commit.decode(data, "x.json")


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_one_flipped_bit_anywhere_makes_a_commit_corrupt(place: int, bit: int) -> None:
    data = bytearray(seal(example()))
    data[place % len(data)] ^= 1 << bit
    with pytest.raises(StoreCorruptError, match=r"x\.json: (cut off|its content does not match)"):
        Commit.decode(bytes(data), "x.json")


def test_store_info_survives_its_file_and_is_strict() -> None:
    info = StoreInfo(1, {"a": [1, 2]}, {"sha256": "x"}, {})
    assert decode_store_info(encode_store_info(info), "store.json") == info
    with pytest.raises(StoreCorruptError, match=r"store\.json: field 'config' should be a dict"):
        decode_store_info(b'{"format":1,"config":3,"weights":{},"versions":{}}', "store.json")
    with pytest.raises(StoreCorruptError, match="format 2, this program reads 1"):
        decode_store_info(b'{"format":2,"fields of its own":{}}', "store.json")


def test_digests_tell_apart_how_parts_are_split() -> None:
    assert digest(b"ab", b"c") != digest(b"a", b"bc") != digest(b"abc")
    assert len(digest(b"")) == 32


def test_attempts_sort_by_time_and_never_repeat() -> None:
    names = [new_attempt() for _ in range(100)]
    assert names == sorted(names, key=lambda name: name.partition("-")[0])
    assert len(set(names)) == 100
    assert attempt_time(names[0]) == pytest.approx(attempt_time(names[-1]), abs=5)
    assert attempt_time("something") == 0
