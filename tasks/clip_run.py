"""The way through one video: forward from the first given mask, then backward from it."""

from collections.abc import Callable, Iterator
from itertools import islice

from storage.videos import Clip, Frame, read_frames
from tasks.clip_state import ClipState, save_state
from tasks.given_masks import GivenMasks, check_shape
from tasks.propagator import FrameMask, Propagator
from tasks.video_config import PropagateConfig

_CHUNK = 64  # frames in memory while a video is read backwards

Sink = Callable[[Frame, FrameMask], None]
Missing = list[tuple[str, str]]


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
    context; after every `config.checkpoint` frames the state is saved below `folder`.
    """
    missing: Missing = []
    start = min(given.by_frame)
    ahead: Propagator | None = None
    for frame in _onward(clip, start, given, state):
        if frame.pixels is None:
            missing.append((frame.name, frame.problem or "unreadable"))
            continue
        ahead = ahead or _propagator(frame, given, config)
        if frame.index <= state.done:
            _recall(ahead, frame, given, state)
            continue
        sink(frame, _record(ahead, frame, given, state))
        state.done = frame.index
        if frame.index % config.checkpoint == 0:
            _save(ahead, state, folder)
    if start > 0:
        _backward(clip, start, given, config, state, sink, missing)
    return missing


def _backward(
    clip: Clip,
    start: int,
    given: GivenMasks,
    config: PropagateConfig,
    state: ClipState,
    sink: Sink,
    missing: Missing,
) -> None:
    back: Propagator | None = None
    for frame in _reversed(clip, start + 1):
        if frame.pixels is None:
            if frame.index < start:
                missing.append((frame.name, frame.problem or "unreadable"))
            continue
        if back is None:
            back = _propagator(frame, given, config)
            if frame.index in given.by_frame:
                back.give(frame.index, frame.pixels, given.by_frame[frame.index])
                continue
        sink(frame, _record(back, frame, given, state))


def _propagator(frame: Frame, given: GivenMasks, config: PropagateConfig) -> Propagator:
    if frame.pixels is None:
        raise RuntimeError("a frame without pixels cannot begin a video")
    height, width = frame.pixels.shape[:2]
    check_shape(given, width, height)
    return Propagator(config, width, height, given.numbers)


def _record(way: Propagator, frame: Frame, given: GivenMasks, state: ClipState) -> FrameMask:
    if frame.pixels is None:
        raise RuntimeError("a frame without pixels has no mask")
    known = given.by_frame.get(frame.index)
    if known is not None:
        found = way.give(frame.index, frame.pixels, known)
    elif way.memory.frames:
        found = way.follow(frame.index, frame.pixels)
    else:
        # The frame with the given mask was broken: its mask serves for the next one.
        found = way.give(frame.index, frame.pixels, given.by_frame[min(given.by_frame)])
    state.areas[frame.index] = found.areas
    state.confidence[frame.index] = found.confidence
    return found


def _recall(way: Propagator, frame: Frame, given: GivenMasks, state: ClipState) -> None:
    if frame.pixels is None:
        return
    if frame.index in given.by_frame:
        way.give(frame.index, frame.pixels, given.by_frame[frame.index])
    elif frame.index in state.labels:
        way.restore(frame.index, frame.pixels, state.labels[frame.index])


def _save(way: Propagator, state: ClipState, folder: str) -> None:
    state.labels = {f.number: f.labels.cpu().numpy() for f in way.memory.recent}
    save_state(folder, state)


def _onward(clip: Clip, start: int, given: GivenMasks, state: ClipState) -> Iterator[Frame]:
    """Frames from `start` on; of those that are done, only what the context needs."""
    if state.done < 0:
        yield from read_frames(clip, start)
        return
    first = min(state.labels, default=state.done + 1)
    for index in sorted(i for i in given.by_frame if i < first):
        yield next(read_frames(clip, index))
    yield from read_frames(clip, first)


def _reversed(clip: Clip, stop: int) -> Iterator[Frame]:
    """Frames stop - 1 down to 0, a chunk of them in memory at a time."""
    for low in range((stop - 1) // _CHUNK * _CHUNK, -1, -_CHUNK):
        yield from reversed(list(islice(read_frames(clip, low), min(_CHUNK, stop - low))))
