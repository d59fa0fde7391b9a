"""What a video's next frame is compared with: frames with given masks, and the latest few."""

from collections import deque
from typing import NamedTuple

from torch import Tensor


class Remembered(NamedTuple):
    """One frame. descriptors: (rows, cols, D), unit. labels: (rows, cols, K), soft.

    number: of the frame in its video, from 0.
    """

    number: int
    descriptors: Tensor
    labels: Tensor


_GIVEN = 8  # frames with given masks: more of them would only be compared in vain


class LabelMemory:
    """A bounded context: the first `given` frame and the last seven, and the last `recent` others.

    The first one stays: it shows the objects before anything could go wrong.
    """

    def __init__(self, recent: int) -> None:
        self.given: list[Remembered] = []
        self.recent: deque[Remembered] = deque(maxlen=recent)

    def add(self, frame: Remembered, *, given: bool = False) -> None:
        """Remember a frame; one with a given mask starts a new stretch of recent frames.

        What was guessed before a correction is forgotten: it is what the correction corrects.
        """
        if given:
            self.given.append(frame)
            if len(self.given) > _GIVEN:
                del self.given[1]
            self.recent.clear()
        else:
            self.recent.append(frame)

    @property
    def frames(self) -> list[Remembered]:
        """The whole context, given frames first."""
        return [*self.given, *self.recent]
