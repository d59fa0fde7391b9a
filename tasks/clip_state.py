"""How far a video is: saved every few frames, so that a run goes on where it stopped."""

import io
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from storage.errors import StorageError
from storage.files import join, read_bytes, remove, write_bytes

STATE_FILE = "progress.npz"


@dataclass(slots=True)
class ClipState:
    """What is known after some frames.

    key: of the inputs and settings. done: index of the latest frame of the way forward; None
    before it. back: index of the latest frame of the way back; None during the way forward.
    anchors: indices of the remembered frames with a given mask. labels: soft labels of the other
    remembered frames by index. areas, confidence: of finished frames by index. missing: names
    of frames that cannot be read, and why.
    """

    key: str
    done: int | None = None
    back: int | None = None
    anchors: tuple[int, ...] = ()
    labels: dict[int, np.ndarray] = field(default_factory=dict)
    areas: dict[int, tuple[float, ...]] = field(default_factory=dict)
    confidence: dict[int, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def has(self, index: int) -> bool:
        """Whether a frame of the present direction is done."""
        if self.back is not None:
            return index >= self.back
        return self.done is not None and index <= self.done

    def advance(self, index: int) -> None:
        """A frame of the present direction is done."""
        if self.back is None:
            self.done = index
        else:
            self.back = index

    def turn(self, start: int) -> None:
        """The way forward is done; the way back begins at frame `start`, which is known."""
        self.back, self.anchors, self.labels = start, (), {}


def save_state(folder: str, state: ClipState) -> None:
    """Write the state below `folder`, whole or not at all."""
    frames = sorted(state.areas)
    facts = {
        "key": state.key,
        "done": state.done,
        "back": state.back,
        "anchors": state.anchors,
        "missing": state.missing,
    }
    arrays: dict[str, Any] = {
        "facts": np.array(json.dumps(facts)),
        "frames": np.array(frames, dtype=np.int64),
        "areas": np.array([state.areas[i] for i in frames], dtype=np.float64),
        "confidence": np.array([state.confidence[i] for i in frames], dtype=np.float64),
    }
    arrays |= {f"labels_{index}": values for index, values in state.labels.items()}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_bytes(join(folder, STATE_FILE), buffer.getvalue())


def load_state(folder: str, key: str) -> ClipState:
    """The saved state if it is of the same inputs and settings, else a fresh one."""
    try:
        data = read_bytes(join(folder, STATE_FILE))
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            facts = json.loads(str(file["facts"]))
            if facts["key"] != key:
                return ClipState(key)
            frames = file["frames"].tolist()
            labels = {
                int(name.removeprefix("labels_")): file[name]
                for name in file.files
                if name.startswith("labels_")
            }
            return ClipState(
                key=key,
                done=facts["done"],
                back=facts["back"],
                anchors=tuple(facts["anchors"]),
                labels=labels,
                areas=dict(zip(frames, map(tuple, file["areas"].tolist()), strict=True)),
                confidence=dict(zip(frames, file["confidence"].tolist(), strict=True)),
                missing=facts["missing"],
            )
    except (FileNotFoundError, StorageError, ValueError, KeyError, TypeError, OSError, EOFError):
        return ClipState(key)


def drop_state(folder: str) -> None:
    """Remove the saved state: the clip is finished."""
    remove(join(folder, STATE_FILE))
