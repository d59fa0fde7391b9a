"""Clips: frames in order from a folder of images or from a video file."""

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

from storage.errors import SourceError, UnreadableImageError
from storage.files import basename, list_folder, open_filesystem
from storage.images import read_image
from storage.refs import IMAGE_SUFFIXES, VIDEO_SUFFIXES, ImageRef, version_of
from storage.sources import list_images
from storage.video_decode import count_frames, decode_video
from storage.video_encode import write_mp4

__all__ = [
    "VIDEO_SUFFIXES",
    "Clip",
    "Frame",
    "frame_names",
    "frame_stem",
    "is_video",
    "list_clips",
    "name_clips",
    "open_clip",
    "pick_frames",
    "read_frames",
    "write_mp4",
]


_KEY_FRAMES = 250  # frames between two that can be sought, as encoders set them
_NUMBERED = re.compile(r"#([0-9]+)$")  # a frame of a video that is a source of images


@dataclass(frozen=True, slots=True)
class Clip:
    """A sequence of frames that can be read from its start, or from any frame on.

    Attributes:
        name: of the folder or of the file without its ending.
        url: of the folder or the file.
        images: the frames' files in order; empty for a video file.
        count: number of frames; None where a video file does not tell.
        fps: frames a second; None for a folder.
        version: of a video file, its size and etag or time of change; "" for a folder, whose
            images have their own.
    """

    name: str
    url: str
    images: tuple[ImageRef, ...]
    count: int | None
    fps: float | None
    version: str = ""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as read.

    Attributes:
        index: from 0, in the order of the clip.
        name: the file's stem, or the index with five digits for a video file.
        pixels: (H, W, 3) uint8 RGB; None where the frame could not be read.
        problem: why it could not.
    """

    index: int
    name: str
    pixels: NDArray[np.uint8] | None
    problem: str | None = None


def is_video(source: str) -> bool:
    """Whether the name ends like a video file's."""
    return _suffix(source) in VIDEO_SUFFIXES


def open_clip(source: str) -> Clip:
    """The clip in a folder of images, a glob, a list file, a video file or a GIF, on any URL.

    Frames of a folder follow each other as people count: ``2.png`` before ``10.png``.

    Raises:
        SourceError: nothing is there, the file is no video, or two frames share a stem (their
            results would overwrite each other).
    """
    if _is_film(source):
        return _open_video(source)
    images = sorted(_images_of(source), key=lambda ref: _counted(ref.name))
    stems = Counter(frame_stem(ref.name) for ref in images)
    twice = sorted(stem for stem, times in stems.items() if times > 1)
    if twice:
        raise SourceError(
            f"{source}: frames must have different stems, as each gives <stem>.png; "
            f"more than one is called {twice[0]!r}. Put every clip into a folder of its own."
        )
    name = posixpath.splitext(basename(source))[0]
    return Clip(name, str(source), tuple(images), len(images), None)


def list_clips(source: str) -> list[str]:
    """URLs of the clips below a folder: its folders and video files, sorted; else itself.

    A folder that holds images of its own is one clip, whatever else lies in it.
    """
    source = str(source)
    fs, path = open_filesystem(source)
    if _is_film(source) or not fs.isdir(path):
        return [source]
    files = list_folder(source)
    names = [name for name in files if is_video(name)] + list_folder(source, "directory")
    if not names or any(_suffix(name) in IMAGE_SUFFIXES for name in files):
        return [source]
    return [f"{source.rstrip('/')}/{name}" for name in sorted(names)]


def name_clips(urls: Sequence[str]) -> list[str]:
    """A name for each clip that no other has: a folder's own, a file's without its ending.

    Files keep their ending where more clips have the name, e.g. ``dog``, ``dog.mp4``.
    """
    whole = [basename(url.rstrip("/")) or "clip" for url in urls]
    short = [posixpath.splitext(name)[0] if _is_film(name) else name for name in whole]
    uses = Counter(short)
    return [name if uses[brief] > 1 else brief for name, brief in zip(whole, short, strict=True)]


def frame_names(clip: Clip) -> list[str]:
    """The names of all frames in order; empty where a video file does not tell how many."""
    if clip.fps is None:
        return [frame_stem(ref.name) for ref in clip.images]
    return [_number(index) for index in range(clip.count or 0)]


def frame_stem(name: str) -> str:
    """What a frame's results are called after: its file without ending, or its number."""
    number = _NUMBERED.search(name)
    return number.group(1) if number else posixpath.splitext(basename(name))[0]


def read_frames(clip: Clip, start: int = 0) -> Iterator[Frame]:
    """All frames from number `start` on, one at a time; a broken one comes as a problem.

    Raises:
        Exception: whatever the filesystem raises on a fault; ``is_storage_fault`` tells.
    """
    return _of_video(clip, start) if clip.fps is not None else _of_images(clip, start)


def pick_frames(clip: Clip, numbers: Iterable[int]) -> Iterator[Frame]:
    """Some frames, each once, by rising number; what lies far behind the last is not read.

    Of a video, short gaps are decoded through and long ones sought over.
    """
    can_seek = clip.fps is None or count_frames(clip.url, clip.version) > 0
    gap = 0 if clip.fps is None else _KEY_FRAMES
    frames: Iterator[Frame] = iter(())
    due: int | None = None
    for number in sorted(set(numbers)):
        if due is None or (can_seek and number - due > gap):
            frames = read_frames(clip, number)
        for frame in frames:
            due = frame.index + 1
            if frame.index == number:
                yield frame
                break


def _images_of(source: str) -> list[ImageRef]:
    """The frames' files; of a folder with images of its own those alone, not results in it."""
    images = list_images(source)
    own = [ref for ref in images if "/" not in ref.name]
    fs, path = open_filesystem(source)
    return own if own and len(own) < len(images) and fs.isdir(path) else images


def _open_video(source: str) -> Clip:
    fs, path = open_filesystem(source)
    if not fs.exists(path):
        raise SourceError(f"{source}: no such file. Expected a video or a folder of frames.")
    info = fs.info(path)
    if info["size"] == 0:
        raise SourceError(f"{source}: no video that can be read (the file is empty).")
    version = f"{info['size']}, {version_of(info)}"
    try:
        with fs.open(path, "rb") as file, av.open(file) as container:
            if not container.streams.video:
                raise SourceError(f"{source}: holds no video stream.")
            stream = container.streams.video[0]
            fps = float(stream.average_rate or stream.guessed_rate or 25)
            count = int(stream.frames)
        count = count_frames(source, version) or count
    except av.error.FFmpegError as error:
        raise SourceError(f"{source}: no video that can be read ({error}).") from error
    name = posixpath.splitext(basename(source))[0]
    return Clip(name, str(source), (), count or None, fps, version)


def _of_images(clip: Clip, start: int) -> Iterator[Frame]:
    for index, ref in enumerate(clip.images[start:], start=start):
        try:
            yield Frame(index, frame_stem(ref.name), read_image(ref))
        except UnreadableImageError as error:
            yield Frame(index, frame_stem(ref.name), None, error.reason)


def _of_video(clip: Clip, start: int) -> Iterator[Frame]:
    for index, decoded in decode_video(clip.url, clip.version, start):
        if isinstance(decoded, str):
            yield Frame(index, _number(index), None, decoded)
        else:
            yield Frame(index, _number(index), decoded)


def _number(index: int) -> str:
    """The name of a video file's frame."""
    return f"{index:05d}"


def _is_film(source: str) -> bool:
    """Whether it is read as a film where it is named itself; in a folder a GIF is a frame."""
    return is_video(source) or _suffix(source) == ".gif"


def _suffix(source: str) -> str:
    return posixpath.splitext(basename(source))[1].lower()


def _counted(name: str) -> tuple[list[str | int], str]:
    """A key that sorts numbers in names by what they count; zeros in front break ties."""
    pieces = re.split(r"([0-9]+)", name)
    return [int(piece) if i % 2 else piece for i, piece in enumerate(pieces)], name
