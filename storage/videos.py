"""Clips: frames in order from a folder of images or a video file, and films written as MP4."""

import posixpath
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from storage.errors import SourceError, UnreadableImageError
from storage.files import basename, list_folder, open_filesystem
from storage.images import read_image
from storage.refs import VIDEO_SUFFIXES, ImageRef, version_of
from storage.sources import list_images
from storage.video_decode import decode_video

__all__ = [
    "VIDEO_SUFFIXES",
    "Clip",
    "Frame",
    "is_video",
    "list_clips",
    "open_clip",
    "read_frames",
    "write_mp4",
]


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
    return posixpath.splitext(basename(source))[1].lower() in VIDEO_SUFFIXES


def open_clip(source: str) -> Clip:
    """The clip in a folder of images, a glob, a list file, or a video file, on any URL.

    Raises:
        SourceError: nothing is there, the file is no video, or two frames share a stem (their
            results would overwrite each other).
    """
    if is_video(source):
        return _open_video(source)
    images = list_images(source)
    stems = [_stem(ref.name) for ref in images]
    twice = (
        sorted({stem for stem in stems if stems.count(stem) > 1})
        if len(set(stems)) < len(stems)
        else []
    )
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
    if is_video(source) or not fs.isdir(path):
        return [source]
    names = [n for n in list_folder(source) if is_video(n)] + list_folder(source, "directory")
    images = [n for n in list_folder(source) if not is_video(n)]
    if images or not names:
        return [source]
    return [f"{source.rstrip('/')}/{name}" for name in sorted(names)]


def read_frames(clip: Clip, start: int = 0) -> Iterator[Frame]:
    """All frames from number `start` on, one at a time; a broken one comes as a problem.

    Raises:
        Exception: whatever the filesystem raises on a fault; ``is_storage_fault`` tells.
    """
    return _of_video(clip, start) if clip.fps is not None else _of_images(clip, start)


def write_mp4(
    url: str, frames: Iterable[NDArray[np.uint8]], *, fps: float = 25.0, quality: int = 23
) -> str:
    """Write (H, W, 3) uint8 frames as H.264 that browsers play. Returns ``url``.

    The first frame's size stands, made even by repeating the last row or column; later frames
    of another size are cropped and padded to it. quality: x264's rate factor, lower is better.

    Raises:
        ValueError: no frames.
    """
    # On disk first: players want the index in front, and FFmpeg rewrites the file for that.
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        with av.open(file.name, "w", options={"movflags": "faststart"}) as container:
            stream = None
            for pixels in frames:
                if stream is None:
                    stream = _add_stream(container, pixels, fps, quality)
                fitted = _fit(pixels, stream.height, stream.width)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(fitted, format="rgb24")))
            if stream is None:
                raise ValueError(f"{url}: expected at least one frame, got none")
            container.mux(stream.encode())
        _upload(url, file.name)
    return url


def _open_video(source: str) -> Clip:
    fs, path = open_filesystem(source)
    if not fs.exists(path):
        raise SourceError(f"{source}: no such file. Expected a video or a folder of frames.")
    try:
        with fs.open(path, "rb") as file, av.open(file) as container:
            if not container.streams.video:
                raise SourceError(f"{source}: holds no video stream.")
            stream = container.streams.video[0]
            fps = float(stream.average_rate or stream.guessed_rate or 25)
            count = int(stream.frames) or None
    except av.error.FFmpegError as error:
        raise SourceError(f"{source}: no video that can be read ({error}).") from error
    name = posixpath.splitext(basename(source))[0]
    info = fs.info(path)
    return Clip(name, str(source), (), count, fps, f"{info['size']}, {version_of(info)}")


def _of_images(clip: Clip, start: int) -> Iterator[Frame]:
    for index, ref in enumerate(clip.images[start:], start=start):
        try:
            yield Frame(index, _stem(ref.name), read_image(ref))
        except UnreadableImageError as error:
            yield Frame(index, _stem(ref.name), None, error.reason)


def _of_video(clip: Clip, start: int) -> Iterator[Frame]:
    for index, decoded in decode_video(clip.url, clip.version, start):
        if isinstance(decoded, str):
            yield Frame(index, f"{index:05d}", None, decoded)
        else:
            yield Frame(index, f"{index:05d}", decoded)


def _add_stream(container: Any, pixels: NDArray[np.uint8], fps: float, quality: int) -> Any:
    stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
    stream.height, stream.width = (side + side % 2 for side in pixels.shape[:2])
    stream.pix_fmt = "yuv420p"  # the one subsampling that all browsers decode
    stream.options = {"crf": str(quality), "preset": "veryfast"}
    return stream


def _fit(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    cropped = pixels[:height, :width]
    missing = height - cropped.shape[0], width - cropped.shape[1]
    if any(missing):
        cropped = np.pad(cropped, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
    return np.ascontiguousarray(cropped)


def _upload(url: str, path: str) -> None:
    fs, target = open_filesystem(url)
    fs.makedirs(posixpath.dirname(target), exist_ok=True)
    fs.put_file(path, target)


def _stem(name: str) -> str:
    return posixpath.splitext(basename(name))[0]
