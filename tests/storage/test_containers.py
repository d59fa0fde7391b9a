"""Tar shards and videos as sources: what is in them, each readable by itself."""

import errno
import io
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from storage import containers, frames
from storage.containers import Listings
from storage.errors import SourceError, UnreadableImageError
from storage.files import exists, join, list_folder, read_bytes, write_bytes
from storage.images import image_size, list_images, read_image
from storage.videos import write_mp4


def png(gray: int, width: int = 20, height: int = 12) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (width, height), gray).save(buffer, "PNG")
    return buffer.getvalue()


def tar_of(files: dict[str, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


SHARD = {
    "000.png": png(10),
    "000.json": b"{}",
    "001.png": png(20, 30, 40),
    "deep/" + "x" * 120 + ".png": png(30),  # a name too long for a plain header
    ".hidden.png": png(0),
}


def test_members_of_shards_are_images(place: str) -> None:
    write_bytes(join(place, "a/shard-000.tar"), tar_of(SHARD))
    write_bytes(join(place, "a/shard-001.tar"), tar_of({"000.png": png(99)}))
    write_bytes(join(place, "a/loose.png"), png(50))
    refs = list_images(join(place, "a"))
    assert [ref.name for ref in refs] == [
        "loose.png",
        "shard-000.tar/000.png",
        "shard-000.tar/001.png",
        f"shard-000.tar/deep/{'x' * 120}.png",
        "shard-001.tar/000.png",
    ]
    assert [int(read_image(ref)[0, 0, 0]) for ref in refs] == [50, 10, 20, 30, 99]
    assert image_size(refs[2]) == (30, 40)
    assert refs[1].bytes == len(SHARD["000.png"])
    alone = list_images(join(place, "a/shard-001.tar"))
    assert [ref.name for ref in alone] == ["shard-001.tar/000.png"]


def test_of_two_members_of_one_name_the_later_counts(tmp_path: Path) -> None:
    first, second = tar_of({"0.png": png(10)}), tar_of({"0.png": png(20)})
    # A tar ends with blocks of zeros; appending writes over them.
    both = first.rstrip(b"\0") + bytes(-len(first.rstrip(b"\0")) % 512) + second
    write_bytes(join(str(tmp_path), "a.tar"), both)
    (ref,) = list_images(str(tmp_path))
    assert int(read_image(ref)[0, 0, 0]) == 20


def test_odd_names_are_names(tmp_path: Path) -> None:
    odd = ["b#tar=0:5.png", "c#frame=3&seconds=1.png", "a#broken=no.png", "d #1 100%.png"]
    for name in odd:
        (tmp_path / name).write_bytes(png(40))
    refs = list_images(str(tmp_path))
    assert [ref.name for ref in refs] == sorted(odd)
    assert [int(read_image(ref)[0, 0, 0]) for ref in refs] == [40] * 4


def test_a_name_that_is_not_unicode_is_one_failure(tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(png(40))
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")).write_bytes(png(50))
    bad, good = list_images(str(tmp_path))
    assert (bad.name, good.name) == ("\\udcff.png", "good.png")
    bad.url.encode()
    with pytest.raises(UnreadableImageError, match="not UTF-8: rename it"):
        read_image(bad)
    (tmp_path / "list.txt").write_bytes(b"gr\xfcn.png\n")
    with pytest.raises(SourceError, match="read as UTF-8"):
        list_images(str(tmp_path / "list.txt"))


def test_what_is_inside_is_remembered_until_it_changes(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards, store = join(place, "shards"), join(place, "store")
    for number in range(2):
        write_bytes(join(shards, f"{number}.tar"), tar_of(SHARD))
    opened: list[str] = []
    list_members = containers.list_members

    def counted(fs: Any, path: str) -> Any:
        opened.append(path.rsplit("/", 1)[-1])
        return list_members(fs, path)

    monkeypatch.setattr(containers, "list_members", counted)
    plain = list_images(shards)
    opened.clear()
    assert list_images(shards, Listings(store, write=False)) == plain
    assert not exists(join(store, "listings"))
    assert list_images(shards, Listings(store)) == plain
    opened.clear()
    assert list_images(shards, Listings(store)) == plain
    assert opened == []
    write_bytes(join(shards, "1.tar"), tar_of({"000.png": png(99)}))
    changed = list_images(shards, Listings(store))
    assert opened == ["1.tar"]
    assert changed == list_images(shards)
    (kept, other) = sorted(list_folder(join(store, "listings")))
    opened.clear()
    for name in (kept, other):
        write_bytes(join(store, "listings", name), b"{}")
    assert list_images(shards, Listings(store)) == changed
    assert sorted(opened) == ["0.tar", "1.tar"]


@pytest.mark.parametrize("refusal", [PermissionError("no"), OSError(errno.EROFS, "read-only")])
def test_a_store_that_may_only_be_read_keeps_no_listings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: OSError
) -> None:
    for number in range(2):
        (tmp_path / f"{number}.tar").write_bytes(tar_of(SHARD))
    tried: list[str] = []

    def refuse(url: str, _: bytes) -> None:
        tried.append(url)
        raise refusal

    monkeypatch.setattr(containers, "write_bytes", refuse)
    listed = list_images(str(tmp_path), Listings(str(tmp_path / "store")))
    assert listed == list_images(str(tmp_path))
    assert tried
    full = OSError(errno.ENOSPC, "no space left")
    monkeypatch.setattr(containers, "write_bytes", lambda *_: (_ for _ in ()).throw(full))
    with pytest.raises((OSError, SourceError), match="no space left"):
        list_images(str(tmp_path), Listings(str(tmp_path / "store")))


def test_frames_are_remembered_for_each_choice(
    clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listings = Listings(str(tmp_path / "store"))
    found = {choice: list_images(clip + choice, listings) for choice in ("", "#every=3")}
    assert len(found[""]) > len(found["#every=3"]) > 0
    monkeypatch.setattr(frames, "frame_times", None)
    assert {choice: list_images(clip + choice, listings) for choice in found} == found


def test_a_shard_that_breaks_off_gives_what_it_has_and_a_failure(tmp_path: Path) -> None:
    whole = tar_of({f"{i}.png": png(i) for i in range(4)})
    (tmp_path / "s.tar").write_bytes(whole[: 1024 * 2 + 520])
    refs = list_images(str(tmp_path))
    assert [ref.name for ref in refs] == ["s.tar", "s.tar/0.png", "s.tar/1.png"]
    for reader in (read_image, image_size):
        with pytest.raises(UnreadableImageError, match=r"s\.tar: the archive breaks off after"):
            reader(refs[0])
    assert read_image(refs[2])[0, 0, 0] == 1


def test_a_compressed_or_wrong_tar_is_refused(tmp_path: Path) -> None:
    (tmp_path / "z.tar").write_bytes(tar_of(SHARD, "w:gz"))
    with pytest.raises(SourceError, match=r"z\.tar: not an uncompressed tar .*decompress it"):
        list_images(str(tmp_path))


@pytest.fixture
def clip(tmp_path: Path) -> str:
    """Two seconds of 25 frames each; frame i is gray of 4 i."""
    frames = (np.full((48, 64, 3), 4 * number, np.uint8) for number in range(50))
    return write_mp4(str(tmp_path / "clip.mp4"), frames, fps=25, quality=1)


def gray(values: np.ndarray) -> int:
    return round(float(values.mean()) / 4)


def test_all_frames_are_named_by_number_and_time(clip: str) -> None:
    refs = list_images(clip)
    assert [ref.name for ref in refs] == [f"clip.mp4#{number:06d}" for number in range(50)]
    assert refs[10].url.endswith("&seconds=0.400")
    assert image_size(refs[0]) == (64, 48)
    assert read_image(refs[0]).shape == (48, 64, 3)
    # Forwards, backwards and all over the place: each frame is itself.
    for number in (0, 1, 2, 30, 29, 49, 3):
        assert gray(read_image(refs[number])) == number


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("#every=20", [0, 20, 40]),
        ("#fps=2", [0, 13, 25, 38]),  # the first frame at or after 0, 0.5, 1 and 1.5 s
        ("#fps=1", [0, 25]),
        ("#fps=100", list(range(50))),
    ],
)
def test_frames_are_chosen_by_number_or_rate(clip: str, choice: str, expected: list[int]) -> None:
    refs = list_images(clip + choice)
    assert [int(ref.name[-6:]) for ref in refs] == expected
    assert [gray(read_image(ref)) for ref in refs] == expected


def test_videos_of_a_folder_are_read_where_they_are_named(clip: str, place: str) -> None:
    write_bytes(join(place, "v/clip.mp4"), read_bytes(clip))
    with pytest.raises(SourceError, match=r"no images there.*FOLDER/\*\.mp4"):
        list_images(join(place, "v"))
    refs = list_images(f"{place}/v/*.mp4#every=25")
    assert [ref.name for ref in refs] == ["clip.mp4#000000", "clip.mp4#000025"]
    assert gray(read_image(refs[1])) == 25


def test_a_broken_video_is_one_failure(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video at all")
    refs = list_images(str(tmp_path / "bad.mp4"))
    with pytest.raises(UnreadableImageError, match=r"bad\.mp4: no video that can be read"):
        read_image(refs[0])


def test_frames_beyond_a_cut_are_failures(clip: str, tmp_path: Path) -> None:
    refs = list_images(clip)
    data = Path(clip).read_bytes()
    Path(clip).write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(UnreadableImageError, match=r"clip\.mp4#000049: the video's data is broken"):
        read_image(refs[49])


@pytest.mark.parametrize("choice", ["#every=0", "#every=1.5", "#fps=0", "#fps=1.2.3"])
def test_a_choice_that_makes_no_sense_is_refused(clip: str, choice: str) -> None:
    with pytest.raises(SourceError, match=r"expected #every=N .* or #fps=RATE"):
        list_images(clip + choice)


@pytest.mark.parametrize("choice", ["#every=2", "#fps=2"])
def test_a_choice_of_frames_without_a_video_is_refused(tmp_path: Path, choice: str) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    (tmp_path / "shard.tar").write_bytes(tar_of(SHARD))
    for source in (tmp_path, tmp_path / "*.png", tmp_path / "shard.tar", tmp_path / "a.png"):
        with pytest.raises(SourceError, match=r"no video whose frames.*FOLDER/\*\.mp4"):
            list_images(f"{source}{choice}")
