"""Frames of a video file, from its start or from any frame on, numbered alike either way."""

import functools
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from storage.files import open_filesystem

Decoded = NDArray[np.uint8] | str


def decode_video(url: str, version: str, start: int = 0) -> Iterator[tuple[int, Decoded]]:
    """Index and (H, W, 3) uint8 RGB of each frame from number `start` on, or why it has none.

    Decoded packet by packet, so that a broken one costs its own frame alone. Where time stamps
    tell frames apart, reading begins at the key frame before `start`, else at the first one.
    """
    if start > 0:
        times = _times(url, version)
        if start < len(times):
            frames = _sought(url, times, start)
            found = next(frames, None)
            if found is not None and found[0] == start:
                yield found
                yield from frames
                return
    for index, decoded in enumerate(frame for _, frame in _decoded(url)):
        if index >= start:
            yield index, _pixels(decoded)


def _sought(url: str, times: NDArray[np.int64], start: int) -> Iterator[tuple[int, Decoded]]:
    """Frames from `start` on, numbered by the rank of their time stamps."""
    for time, decoded in _decoded(url, int(times[start])):
        if time is not None and time >= times[start]:
            yield int(np.searchsorted(times, time)), _pixels(decoded)


def _decoded(url: str, since: int | None = None) -> Iterator[tuple[int | None, Any]]:
    """Time stamp and frame of the decoder, or a sentence for a packet that is broken."""
    fs, path = open_filesystem(url)
    with fs.open(path, "rb") as file, av.open(file) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        if since is not None:
            container.seek(since, stream=stream, backward=True)
        for packet in container.demux(stream):
            try:
                decoded = [(frame.pts, frame) for frame in packet.decode()]
            except av.error.FFmpegError as error:
                decoded = [(packet.pts, f"the video's data is broken here ({error})")]
            yield from decoded


@functools.lru_cache(maxsize=4)
def _times(url: str, version: str) -> NDArray[np.int64]:  # noqa: ARG001
    """Time stamps of all packets, ascending; empty where they do not tell frames apart.

    Reads the file without decoding it: 10,000 frames take a tenth of a second.
    """
    fs, path = open_filesystem(url)
    with fs.open(path, "rb") as file, av.open(file) as container:
        stamps = [p.pts for p in container.demux(container.streams.video[0]) if p.size]
    times = np.unique(np.array([t for t in stamps if t is not None], dtype=np.int64))
    return times if len(times) == len(stamps) else times[:0]


def _pixels(frame: Any) -> Decoded:
    return frame if isinstance(frame, str) else frame.to_ndarray(format="rgb24")
