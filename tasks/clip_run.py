"""The way through one video: forward from the first given mask, then backward from it.

Frames are read and described ahead of the propagation, masks are decided and written behind it.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import chain, islice
from typing import NamedTuple

from torch import Tensor

from storage.videos import Clip, Frame, read_frames
from tasks.clip_ahead import Behind, ahead
from tasks.clip_descriptors import describer_of, pixels_of
from tasks.clip_state import ClipState, save_state
from tasks.given_masks import GivenMasks, check_shape
from tasks.propagator import FrameMask, Propagator
from tasks.video_config import PropagateConfig

_CHUNK = 64  # frames in memory while a video is read backwards
_DEPTH = 2  # passes whose frames are read, and as many that are described, ahead

Sink = Callable[[Frame, FrameMask], None]
Missing = list[tuple[str, str]]


class _Decided(NamedTuple):
    frame: int
    areas: tuple[float, ...]
    confidence: float


def run_clip(
    clip: Clip,
    given: GivenMasks,
    config: PropagateConfig,
    state: ClipState,
    folder: str,
    sink: Sink,
) -> Missing:
    """Decide every frame's mask and hand it to `sink`; returns (name, problem) of broken frames.

    Frames that `state` holds already are only read again where they are still needed as
    context; after every `config.checkpoint` frames the state is saved below `folder`. `sink` is
    called from several threads, each frame once.
    """
    start = min(given.by_frame)
    if state.back is None:
        _go(_onward(clip, start, state), clip, given, config, state, folder, sink)
        state.turn(start)
    if start > 0:
        _go(_backward(clip, start, state), clip, given, config, state, folder, sink)
    return sorted(state.missing.items())


def _go(
    frames: Iterator[Frame],
    clip: Clip,
    given: GivenMasks,
    config: PropagateConfig,
    state: ClipState,
    folder: str,
    sink: Sink,
) -> None:
    """One direction. What is done already comes first, as context."""
    frames = _readable(frames, state)
    first = next(frames, None)
    if first is None:
        return
    height, width = pixels_of(first).shape[:2]
    check_shape(given, width, height)
    way = Propagator(config, describer_of(config, clip, first), given.numbers)
    depth = _DEPTH * way.describer.together
    read = ahead(chain([first], frames), depth)
    described = ahead(_described(way, read), depth)
    with closing(described), Behind(partial(_note, state), _threads()) as behind:
        for frame, descriptors in described:
            mask = given.by_frame.get(frame.index)
            if mask is None and not way.memory.frames:
                # The frame with the given mask was broken: its mask serves for the next one.
                mask = given.by_frame[min(given.by_frame)]
            if state.has(frame.index):
                if mask is not None:
                    way.give(frame.index, descriptors, mask)
                else:
                    way.restore(frame.index, descriptors, state.labels[frame.index])
                continue
            if mask is not None:
                way.give(frame.index, descriptors, mask)
                behind.submit(partial(_finish, frame, partial(way.known, mask), sink))
            else:
                behind.submit(partial(_finish, frame, _decision(way, frame, descriptors), sink))
            state.advance(frame.index)
            if frame.index % config.checkpoint == 0:
                behind.drain()
                _save(way, state, folder)
        behind.drain()


def _described(way: Propagator, frames: Iterator[Frame]) -> Iterator[tuple[Frame, Tensor]]:
    """Each frame with its descriptors."""
    while some := list(islice(frames, way.describer.together)):
        yield from zip(some, way.describe(some), strict=True)


def _threads() -> int:
    """Threads that decide masks: one on a small machine, where describing needs the cores."""
    return max(1, min(8, (os.cpu_count() or 1) // 2))


def _decision(way: Propagator, frame: Frame, descriptors: Tensor) -> Callable[[], FrameMask]:
    return partial(way.decide, pixels_of(frame), way.follow(frame.index, descriptors))


def _finish(frame: Frame, decide: Callable[[], FrameMask], sink: Sink) -> _Decided:
    found = decide()
    sink(frame, found)
    return _Decided(frame.index, found.areas, found.confidence)


def _note(state: ClipState, decided: _Decided) -> None:
    state.areas[decided.frame] = decided.areas
    state.confidence[decided.frame] = decided.confidence


def _save(way: Propagator, state: ClipState, folder: str) -> None:
    state.anchors = tuple(f.number for f in way.memory.given)
    state.labels = {f.number: f.labels.cpu().numpy() for f in way.memory.recent}
    save_state(folder, state)


def _readable(frames: Iterator[Frame], state: ClipState) -> Iterator[Frame]:
    """Frames that could be read; of the others the problem is noted."""
    for frame in frames:
        if frame.pixels is not None:
            yield frame
        else:
            state.missing[frame.name] = frame.problem or "unreadable"


def _onward(clip: Clip, start: int, state: ClipState) -> Iterator[Frame]:
    """Frames from `start` on; of those that are done, only what the context needs."""
    if state.done is None:
        yield from read_frames(clip, start)
        return
    yield from _anchors(clip, state)
    first = min(state.labels, default=state.done + 1)
    yield from (f for f in read_frames(clip, first) if _wanted(f, state))


def _backward(clip: Clip, start: int, state: ClipState) -> Iterator[Frame]:
    """The frame `start`, which is done, or what else the context needs, then those before it."""
    if state.anchors:
        yield from _anchors(clip, state)
    else:
        yield next(read_frames(clip, start))
    last = max(state.labels, default=start if state.back is None else state.back)
    yield from (f for f in _reversed(clip, last + 1) if _wanted(f, state))


def _anchors(clip: Clip, state: ClipState) -> Iterator[Frame]:
    for index in state.anchors:
        yield next(read_frames(clip, index))


def _wanted(frame: Frame, state: ClipState) -> bool:
    """Whether a frame is still to be done, or was done and is needed as context."""
    return frame.index in state.labels or not state.has(frame.index)


def _reversed(clip: Clip, stop: int) -> Iterator[Frame]:
    """Frames stop - 1 down to 0, a chunk of them in memory at a time."""
    for low in range((stop - 1) // _CHUNK * _CHUNK, -1, -_CHUNK):
        yield from reversed(list(islice(read_frames(clip, low), min(_CHUNK, stop - low))))
