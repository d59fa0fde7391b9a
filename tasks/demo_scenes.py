"""The demo's scenes: which object lies where, in which light, over which photograph.

Tables only; `tasks.demo_sets` draws them. The sets share their backdrops, so that what is
common to a set is its object and nothing else.
"""

from dataclasses import dataclass
from typing import Literal

from tasks.demo_photographs import Photograph, Thing

Backdrop = Literal["bricks", "dusk", "gravel", "lake", "leaves", "meadow", "shelves", "table"]

# Photograph, xyxy box of it, and (width, height) that the box is brought to.
BACKDROPS: dict[
    Backdrop, tuple[Photograph, tuple[int, int, int, int], tuple[int, int]]
] = {
    "bricks": ("brick", (0, 0, 512, 384), (400, 300)),
    "dusk": ("rocket", (0, 0, 640, 427), (420, 280)),
    "shelves": ("motorcycle_left", (440, 0, 741, 200), (420, 280)),
    "gravel": ("gravel", (0, 64, 512, 448), (400, 300)),
    "lake": ("china", (300, 60, 640, 427), (360, 388)),
    "leaves": ("flower", (452, 0, 640, 200), (376, 400)),
    "meadow": ("grass", (0, 0, 512, 400), (384, 300)),
    "table": ("coffee", (482, 0, 600, 150), (330, 420)),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scene:
    """One picture. at: (x, y) of the object's middle and height: its box, as shares of the
    backdrop's width, height and height; degrees: counter-clockwise; the light is the object's
    unless the name says backdrop.
    """

    backdrop: Backdrop
    at: tuple[float, float]
    height: float
    degrees: float = 0.0
    flip: bool = False
    brightness: float = 1.0
    contrast: float = 1.0
    warmth: float = 0.0


COMPOSED: dict[Thing, tuple[Scene, ...]] = {
    "astronaut": (
        Scene("bricks", (0.55, 0.60), 0.80),
        Scene("dusk", (0.42, 0.62), 0.76, flip=True, brightness=0.85, warmth=-0.2),
        Scene("shelves", (0.52, 0.58), 0.85, brightness=1.1),
        Scene("lake", (0.45, 0.68), 0.64),
        Scene("leaves", (0.55, 0.70), 0.60, flip=True, contrast=0.9, warmth=0.15),
        Scene("meadow", (0.46, 0.62), 0.76, brightness=0.9),
    ),
    "coffee": (
        Scene("bricks", (0.52, 0.50), 0.72, degrees=-8),
        Scene("dusk", (0.40, 0.55), 0.70, brightness=0.85, warmth=-0.15),
        Scene("shelves", (0.55, 0.52), 0.74, flip=True),
        Scene("gravel", (0.45, 0.52), 0.60, degrees=15, brightness=1.15),
        Scene("lake", (0.50, 0.55), 0.58, flip=True),
        Scene("leaves", (0.52, 0.50), 0.66, degrees=6, warmth=0.1),
    ),
    "flower": (
        Scene("bricks", (0.45, 0.50), 0.75, degrees=30),
        Scene("dusk", (0.55, 0.50), 0.80, flip=True, brightness=0.8),
        Scene("shelves", (0.48, 0.52), 0.70, degrees=75, warmth=0.1),
        Scene("gravel", (0.55, 0.52), 0.62, degrees=120, brightness=1.1),
        Scene("lake", (0.45, 0.52), 0.62, flip=True, warmth=-0.2),
        Scene("table", (0.50, 0.52), 0.50, degrees=-40, contrast=1.15),
    ),
}

CLIP_FRAMES = 12
CLIP_BACKDROP: Backdrop = "shelves"
CLIP_THING: Thing = "coffee"


def clip_scene(frame: int) -> Scene:
    """The clip's scene at one frame, 0 to CLIP_FRAMES - 1: across, nearer, and a little turned."""
    done = frame / (CLIP_FRAMES - 1)
    return Scene(
        CLIP_BACKDROP,
        (0.28 + 0.44 * done, 0.60 - 0.20 * done * (1 - done)),
        0.45 + 0.25 * done,
        degrees=-10 + 20 * done,
    )
