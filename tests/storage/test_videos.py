"""Clips from folders and video files, and films that come back as they were written."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from storage import video_decode
from storage.errors import SourceError
from storage.images import image_size, list_images, read_image
from storage.videos import (
    frame_names,
    list_clips,
    name_clips,
    open_clip,
    pick_frames,
    read_frames,
    write_mp4,
)


def colour(index: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A flat frame whose red tells its number."""
    frame = np.full((height, width, 3), 60, np.uint8)
    frame[..., 0] = 20 + 20 * index
    return frame


def write_folder(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True)
    for index in range(count):
        Image.fromarray(colour(index)).save(folder / f"{index:03d}.png")
    return folder


def test_a_folder_is_a_clip_in_the_order_of_its_names(tmp_path: Path) -> None:
    clip = open_clip(str(write_folder(tmp_path / "walk", 3)))
    assert (clip.name, clip.count, clip.fps) == ("walk", 3, None)
    frames = list(read_frames(clip))
    assert [(f.index, f.name) for f in frames] == [(0, "000"), (1, "001"), (2, "002")]
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.pixels, colour(index))


def test_reading_can_begin_in_the_middle(tmp_path: Path) -> None:
    folder = open_clip(str(write_folder(tmp_path / "walk", 4)))
    film = open_clip(write_mp4(str(tmp_path / "walk.mp4"), map(colour, range(4)), fps=10))
    for clip, name in ((folder, "002"), (film, "00002")):
        first = next(read_frames(clip, start=2))
        assert (first.index, first.name) == (2, name)
        assert first.pixels is not None
        assert abs(float(first.pixels[..., 0].mean()) - 60) < 4


def test_a_long_film_is_sought_and_gives_the_same_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = (np.full((32, 32, 3), (7 * i) % 251, np.uint8) for i in range(600))
    film = open_clip(write_mp4(str(tmp_path / "long.mp4"), pictures))
    whole = [frame.pixels for frame in read_frames(film)]
    assert len(whole) == 600
    decoded: list[object] = []
    stream = video_decode._decoded

    def counted(*args: int) -> Iterator[tuple[int | None, object]]:
        for item in stream(*args):
            decoded.append(item)
            yield item

    monkeypatch.setattr(video_decode, "_decoded", counted)
    picked = list(pick_frames(film, [599, 3, 4, 120, 3]))
    assert [f.index for f in picked] == [3, 4, 120, 599]
    for frame in picked:
        np.testing.assert_array_equal(frame.pixels, whole[frame.index])
    assert len(decoded) < 250  # 121 from the start, then from the last key frame
    for start in (1, 249, 250, 251, 423, 599):
        decoded.clear()
        frames = list(islice(read_frames(film, start), 3))
        assert [f.index for f in frames] == list(range(start, min(start + 3, 600)))
        for frame in frames:
            np.testing.assert_array_equal(frame.pixels, whole[frame.index])
        assert len(decoded) <= 250 + 3  # from the key frame before it, one in 250
    assert list(read_frames(film, 600)) == []


@pytest.mark.parametrize("where", [0.3, 0.6, 0.8, 0.95])
def test_a_broken_film_numbers_its_frames_alike_from_anywhere(tmp_path: Path, where: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (12, 48, 64, 3), dtype=np.uint8)
    path = Path(write_mp4(str(tmp_path / "film.mp4"), noise))
    data = bytearray(path.read_bytes())
    begin = data.index(b"mdat") + 4
    hole = int(begin + (len(data) - begin) * where)
    data[hole : hole + 80] = bytes(80)
    path.write_bytes(data)
    clip = open_clip(str(path))
    whole = [(f.index, f.pixels is None) for f in read_frames(clip)]
    assert [index for index, _ in whole] == list(range(12))
    assert sum(lost for _, lost in whole) <= 2
    for start in (1, 5, 11):
        assert [(f.index, f.pixels is None) for f in read_frames(clip, start)] == whole[start:]


def test_a_broken_frame_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "walk", 3)
    (folder / "001.png").write_bytes(b"no picture at all")
    frames = list(read_frames(open_clip(str(folder))))
    assert [f.pixels is None for f in frames] == [False, True, False]
    assert frames[1].problem is not None
    assert "text" in frames[1].problem


@pytest.mark.parametrize("url", ["{tmp}/new/folder/film.mp4", "memory://films/film.mp4"])
def test_a_film_comes_back_as_it_was_written(tmp_path: Path, url: str) -> None:
    url = url.format(tmp=tmp_path)
    assert write_mp4(url, map(colour, range(8)), fps=12.5) == url
    clip = open_clip(url)
    assert (clip.name, clip.count, clip.fps) == ("film", 8, 12.5)
    frames = list(read_frames(clip))
    assert [f.name for f in frames] == [f"{i:05d}" for i in range(8)]
    for index, frame in enumerate(frames):
        assert frame.pixels is not None
        error = np.abs(frame.pixels.astype(int) - colour(index)).mean()
        assert error < 4, f"frame {index} is {error} grey levels off"


def test_another_film_at_the_same_place_is_another_version(tmp_path: Path) -> None:
    url = str(tmp_path / "film.mp4")
    frames = [np.full((32, 48, 3), 60 * i, np.uint8) for i in range(3)]
    first = open_clip(write_mp4(url, frames)).version
    assert open_clip(url).version == first
    assert open_clip(write_mp4(url, frames[::-1] * 2)).version != first


def test_odd_and_varying_sizes_are_made_even_and_equal(tmp_path: Path) -> None:
    pictures = [colour(0, 31, 33), colour(0, 60, 20), colour(0, 31, 33)]
    frames = list(read_frames(open_clip(write_mp4(str(tmp_path / "odd.mp4"), pictures))))
    assert [f.pixels.shape for f in frames if f.pixels is not None] == [(32, 34, 3)] * 3


def test_a_film_that_a_telephone_turned_is_upright(tmp_path: Path) -> None:
    path = str(tmp_path / "turned.mp4")
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(-90)  # counter-clockwise: it is shown turned to the right
        sideways = np.full((48, 64, 3), 40, np.uint8)
        sideways[:, :32] = 200  # what lies to the left comes to the top
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(sideways, format="rgb24")))
        container.mux(stream.encode())
    refs = list_images(path)
    assert image_size(refs[0]) == (48, 64)
    pictures = [f.pixels for f in read_frames(open_clip(path))] + [read_image(r) for r in refs]
    assert len(pictures) == 6
    for pixels in pictures:
        assert pixels is not None
        assert pixels.shape == (64, 48, 3)
        assert pixels[:28].mean() > 180
        assert pixels[36:].mean() < 60


def test_browsers_find_the_index_in_front_of_the_data(tmp_path: Path) -> None:
    url = write_mp4(str(tmp_path / "film.mp4"), map(colour, range(3)))
    data = Path(url).read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_a_folder_of_clips(tmp_path: Path) -> None:
    write_folder(tmp_path / "clips" / "b", 2)
    write_folder(tmp_path / "clips" / "a", 2)
    film = write_mp4(str(tmp_path / "clips" / "c.mp4"), map(colour, range(2)))
    clips = list_clips(str(tmp_path / "clips"))
    assert [Path(c).name for c in clips] == ["a", "b", "c.mp4"]
    assert [open_clip(c).count for c in clips] == [2, 2, 2]
    assert list_clips(clips[0]) == [clips[0]]
    assert list_clips(film) == [film]
    (tmp_path / "clips" / "README.txt").write_text("not a frame")
    assert list_clips(str(tmp_path / "clips")) == clips


def test_clips_have_names_of_their_own() -> None:
    assert name_clips(["x/v1.0", "x/v1.5", "x/c.mp4"]) == ["v1.0", "v1.5", "c"]
    twins = ["x/dog", "x/dog.mkv", "x/dog.mp4", "x/cat.mp4"]
    assert name_clips(twins) == ["dog", "dog.mkv", "dog.mp4", "cat"]


def test_frames_follow_each_other_as_people_count(tmp_path: Path) -> None:
    names = ["2", "10", "1", "010a", "b1_9", "b1_10"]
    (tmp_path / "walk").mkdir()
    for name in names:
        Image.fromarray(colour(0)).save(tmp_path / "walk" / f"{name}.png")
    clip = open_clip(str(tmp_path / "walk"))
    assert frame_names(clip) == ["1", "2", "10", "010a", "b1_9", "b1_10"]


def test_results_below_the_frames_are_no_frames(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "walk", 3)
    write_folder(folder / "out" / "masks", 3)
    assert open_clip(str(folder)).count == 3
    assert list_clips(str(folder)) == [str(folder)]
    assert open_clip(str(folder / "out")).count == 3  # none of its own: those below it


def test_some_frames_of_a_film_are_a_clip(tmp_path: Path) -> None:
    film = write_mp4(str(tmp_path / "film.mp4"), map(colour, range(7)))
    clip = open_clip(f"{film}#every=3")
    assert (
        frame_names(clip) == [f.name for f in read_frames(clip)] == ["000000", "000003", "000006"]
    )


def test_a_gif_is_a_film(tmp_path: Path) -> None:
    path = tmp_path / "film.gif"
    pictures = [Image.fromarray(colour(i)) for i in (0, 4, 8)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100)
    assert list_clips(str(path)) == [str(path)]
    frames = list(read_frames(open_clip(str(path))))
    assert [round(float(f.pixels[..., 0].mean())) for f in frames if f.pixels is not None] == [
        20,
        100,
        180,
    ]


def test_errors_name_the_source(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.mp4: no such file"):
        open_clip(str(tmp_path / "gone.mp4"))
    (tmp_path / "text.mp4").write_text("hello")
    with pytest.raises(SourceError, match=r"text\.mp4: no video that can be read"):
        open_clip(str(tmp_path / "text.mp4"))
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(SourceError, match=r"empty\.mp4: no video.*the file is empty"):
        open_clip(str(tmp_path / "empty.mp4"))
    folder = write_folder(tmp_path / "twice", 2)
    Image.fromarray(colour(0)).save(folder / "001.bmp")
    with pytest.raises(SourceError, match=r"different stems.*'001'"):
        open_clip(str(folder))
    with pytest.raises(ValueError, match="at least one frame"):
        write_mp4(str(tmp_path / "none.mp4"), [])
