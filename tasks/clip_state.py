"""How far a video is: saved every few frames, so that a run goes on where it stopped."""

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from storage.errors import StorageError
from storage.files import join, read_bytes, remove, write_bytes

STATE_FILE = "progress.npz"


@dataclass(slots=True)
class ClipState:
    """What is known after some frames.

    key: of the inputs and settings. done: index of the last frame of the way forward, -1 before
    it. labels: soft labels of the remembered frames by index. areas, confidence: by index.
    """

    key: str
    done: int = -1
    labels: dict[int, np.ndarray] = field(default_factory=dict)
    areas: dict[int, tuple[float, ...]] = field(default_factory=dict)
    confidence: dict[int, float] = field(default_factory=dict)


def save_state(folder: str, state: ClipState) -> None:
    """Write the state below `folder`, whole or not at all."""
    frames = sorted(state.areas)
    arrays: dict[str, Any] = {
        "key": np.array(state.key),
        "done": np.array(state.done),
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
            if str(file["key"]) != key:
                return ClipState(key)
            frames = file["frames"].tolist()
            labels = {
                int(name.removeprefix("labels_")): file[name]
                for name in file.files
                if name.startswith("labels_")
            }
            return ClipState(
                key=key,
                done=int(file["done"]),
                labels=labels,
                areas=dict(zip(frames, map(tuple, file["areas"].tolist()), strict=True)),
                confidence=dict(zip(frames, file["confidence"].tolist(), strict=True)),
            )
    except (FileNotFoundError, StorageError, ValueError, KeyError, OSError, EOFError):
        return ClipState(key)


def drop_state(folder: str) -> None:
    """Remove the saved state: the clip is finished."""
    remove(join(folder, STATE_FILE))
