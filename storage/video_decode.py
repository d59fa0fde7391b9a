"""Frames of a video file, from its start or from any frame on, numbered alike either way."""

import functools
from collections.abc import Iterator
from itertools import chain
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from storage.files import open_filesystem

Decoded = NDArray[np.uint8] | str


def decode_video(url: str, version: str, start: int = 0) -> Iterator[tuple[int, Decoded]]:
    """Index and (H, W, 3) uint8 RGB of each frame from number `start` on, or why it has none.

    Decoded packet by packet, so that a broken one costs its own frame alone. Where time stamps
    tell frames apart they number them, and reading begins at the key frame before `start`;
    else frames are counted from the first one.
    """
    times = _times(url, version)
    if len(times) and (start == 0 or start < len(times)):
        yield from _ranked(url, times, start)
        return
    for index, (_, decoded) in enumerate(_decoded(url)):
        if index >= start:
            yield index, _pixels(decoded)


def count_frames(url: str, version: str) -> int:
    """How many frames `decode_video` numbers; 0 where only decoding would tell."""
    return len(_times(url, version))


def _ranked(url: str, times: NDArray[np.int64], start: int) -> Iterator[tuple[int, Decoded]]:
    """Frames from `start` on, numbered by the rank of their time stamps.

    Decoders give them in the order of time, so that a rank which is passed over has no frame;
    which packet is to blame is not told, as several are decoded at once.
    """
    frames = _decoded(url, int(times[start]) if start else None)
    first = next(frames, None)
    if start and (first is None or first[0] is None or first[0] > times[start]):
        frames = _decoded(url)  # it could not be sought
    elif first is not None:
        frames = chain([first], frames)
    problem, due = "the decoder gave no picture of it", start
    for time, decoded in frames:
        if isinstance(decoded, str):
            problem = decoded
        elif time is not None and time >= times[start]:
            index = int(np.searchsorted(times, time))
            yield from ((lost, problem) for lost in range(due, index))
            if due <= index < len(times):
                yield index, _pixels(decoded)
            due = max(due, index + 1)
    yield from ((lost, problem) for lost in range(due, len(times)))


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
        stream = container.streams.video[0]
        stamps = [p.pts for p in container.demux(stream) if p.size and not p.is_discard]
    times = np.unique(np.array([t for t in stamps if t is not None], dtype=np.int64))
    return times if len(times) == len(stamps) else times[:0]


def upright(frame: Any) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of a decoded frame as players show it: telephones film sideways and
    note the turn, in quarters, in the file.
    """
    pixels = np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
    quarters = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, quarters)) if quarters else pixels


def _pixels(frame: Any) -> Decoded:
    return frame if isinstance(frame, str) else upright(frame)
