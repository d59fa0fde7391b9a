"""The verbs on files mean the same everywhere."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.errors import StorageError, StoreCorruptError, UnreadableImageError, is_storage_fault
from storage.files import (
    create_exclusively,
    exists,
    join,
    list_folder,
    read_bytes,
    remove,
    write_bytes,
    write_parts,
)


def test_written_bytes_are_read_back_whole_and_in_part(place: str) -> None:
    file = join(place, "a", "b.bin")
    assert not exists(file)
    write_bytes(file, b"old and longer")
    write_bytes(file, b"0123456789")
    assert read_bytes(file) == b"0123456789"
    assert read_bytes(file, 2, 5) == b"234"
    assert list_folder(join(place, "a")) == ["b.bin"]
    assert list_folder(place, "directory") == ["a"]


def test_only_the_first_of_two_creators_wins(place: str) -> None:
    file = join(place, "commits", "x.json")
    assert create_exclusively(file, b"first")
    assert not create_exclusively(file, b"second")
    assert read_bytes(file) == b"first"
    assert list_folder(join(place, "commits")) == ["x.json"]


def test_a_disk_that_runs_full_keeps_the_old_file_and_nothing_of_the_new_one(
    tmp_path: Path,
) -> None:
    def parts() -> Iterator[bytes]:
        yield b"a part of"
        raise OSError(errno.ENOSPC, "No space left on device")

    file = tmp_path / "shard"
    write_parts(str(file), [b"ol", b"d"])
    with pytest.raises(OSError, match="No space"):
        write_parts(str(file), parts())
    assert file.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["shard"]


def test_what_cannot_be_renamed_is_removed(tmp_path: Path) -> None:
    (tmp_path / "shard").mkdir()
    with pytest.raises(IsADirectoryError):
        write_bytes(str(tmp_path / "shard"), b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["shard"]


def test_removing_takes_folders_whole_and_missing_ones_calmly(place: str) -> None:
    write_bytes(join(place, "a/b/c.bin"), b"1")
    remove(join(place, "a"))
    remove(join(place, "a"))
    assert not exists(join(place, "a/b/c.bin"))
    assert list_folder(join(place, "a")) == []


def test_links_count_as_what_they_lead_to(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for name, target in (("f", "file"), ("d", "folder"), ("broken", "nothing")):
        (tmp_path / name).symlink_to(tmp_path / target)
    assert list_folder(str(tmp_path)) == ["f", "file"]
    assert list_folder(str(tmp_path), "directory") == ["d", "folder"]


@pytest.mark.parametrize("part", ["../x", "a/../../x", "/etc/passwd", "..\\x", "tar://x::y", "\0"])
def test_a_name_cannot_leave_its_folder(part: str) -> None:
    with pytest.raises(StorageError, match="would leave"):
        join("/data/out", part)


def test_join_keeps_the_protocol_and_drops_empty_pieces() -> None:
    assert join("s3://b/x/", "a//b", "./c") == "s3://b/x/a/b/c"


@pytest.mark.parametrize("protocol", ["nosuch://x", "hdfs2://y"])
def test_an_unknown_protocol_is_named(protocol: str) -> None:
    with pytest.raises(StorageError, match="no filesystem for this URL"):
        exists(protocol)


def test_faults_are_what_a_second_try_may_mend() -> None:
    assert is_storage_fault(OSError(121, "remote"))
    assert is_storage_fault(TimeoutError())
    assert is_storage_fault(ConnectionResetError())
    for lasting in (FileNotFoundError(), PermissionError(), FileExistsError(), ValueError()):
        assert not is_storage_fault(lasting)
    assert not is_storage_fault(StoreCorruptError("x"))
    assert not is_storage_fault(UnreadableImageError("x", "y"))


def test_a_fault_is_found_below_what_wraps_it() -> None:
    error = RuntimeError("wrapped")
    error.__cause__ = ConnectionResetError()
    assert is_storage_fault(error)
