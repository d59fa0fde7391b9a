"""Frames of video files as images of a source: every n-th, or so many a second."""

import functools
import math
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from storage.errors import UnreadableImageError
from storage.video_decode import upright

__all__ = ["FrameTime", "choose_frames", "frame_size", "frame_times", "read_frame"]

# Frames that are decoded and thrown away rather than looked for by seeking.
_PATIENCE = 300


class FrameTime(NamedTuple):
    """A frame's number from 0 in the order of showing, its time stamp and time in seconds."""

    number: int
    stamp: int
    seconds: float


def frame_times(fs: Any, path: str) -> list[FrameTime]:
    """All frames of a video, from its packets alone, nothing decoded.

    Raises:
        UnreadableImageError: it is no video.
    """
    try:
        with fs.open(path, "rb") as file, av.open(file) as container:
            stream = _stream(container, path)
            stamps = sorted(
                packet.pts for packet in container.demux(stream) if packet.pts is not None
            )
            base = float(stream.time_base)
    except av.error.FFmpegError as error:
        raise UnreadableImageError(path, f"no video that can be read ({error})") from error
    first = stamps[0] if stamps else 0
    return [FrameTime(i, stamp, (stamp - first) * base) for i, stamp in enumerate(stamps)]


def choose_frames(
    times: list[FrameTime], *, every: int = 1, fps: float | None = None
) -> Iterator[FrameTime]:
    """Every n-th frame, or the first frame in each interval of 1/fps seconds."""
    if fps is None:
        yield from times[::every]
        return
    last = -1
    for time in times:
        # Stamps are rounded to the stream's time base: a frame just before a tick belongs to it.
        interval = math.floor(time.seconds * fps + 1e-3)
        if interval > last:
            last = interval
            yield time


def read_frame(fs: Any, path: str, stamp: int, name: str) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of the frame with a time stamp.

    Reading forwards is cheap: each thread keeps the video that it read last open.
    """
    try:
        return _reader(fs, path).read(stamp)
    except (av.error.FFmpegError, LookupError) as error:
        _open.reader = None
        raise UnreadableImageError(name, f"the video's data is broken here ({error})") from error


def frame_size(fs: Any, path: str, name: str) -> tuple[int, int]:
    """(width, height) in pixels of a video's frames, upright."""
    try:
        return _reader(fs, path).size
    except av.error.FFmpegError as error:
        raise UnreadableImageError(name, f"no video that can be read ({error})") from error


_open = threading.local()


def _reader(fs: Any, path: str) -> "_Reader":
    reader: _Reader | None = getattr(_open, "reader", None)
    if reader is None or (reader.fs, reader.path) != (fs, path):
        if reader is not None:
            reader.close()
        _open.reader = reader = _Reader(fs, path)
    return reader


class _Reader:
    """One open video and the place in it."""

    def __init__(self, fs: Any, path: str) -> None:
        self.fs, self.path = fs, path
        self._file = fs.open(path, "rb")
        self._container = av.open(self._file)
        self.stream = _stream(self._container, path)
        self._step = 1.0 / float((self.stream.average_rate or 25) * self.stream.time_base)
        self._frames: Iterator[Any] = iter(())
        self._last: int | None = None

    def close(self) -> None:
        self._container.close()
        self._file.close()

    def read(self, stamp: int) -> NDArray[np.uint8]:
        ahead = None if self._last is None else stamp - self._last
        if ahead is None or not 0 < ahead <= _PATIENCE * self._step:
            self._container.seek(stamp, stream=self.stream)
            self._frames = self._container.decode(self.stream)
        for frame in self._frames:
            if frame.pts is not None and frame.pts >= stamp:
                self._last = frame.pts
                return upright(frame)
        self._last = None
        raise LookupError("it ends before this frame")

    @functools.cached_property
    def size(self) -> tuple[int, int]:
        """(width, height), upright: only a frame that was decoded tells whether it is turned."""
        size = int(self.stream.width), int(self.stream.height)
        self._container.seek(0)
        self._last = None
        try:
            first = next(self._container.decode(self.stream), None)
        except av.error.FFmpegError:  # a broken one fails when it is read, the others do not
            first = None
        return size[::-1] if first is not None and round(first.rotation / 90) % 2 else size


def _stream(container: Any, path: str) -> Any:
    if not container.streams.video:
        raise UnreadableImageError(path, "holds no video stream")
    return container.streams.video[0]
