"""The demo's pictures, made from photographs that installed packages carry.

Composed sets have exactly known foregrounds, so that the demo ends with a measured Jaccard::

    ROOT/sets/<set>/<stem>.jpg        folder of folders, ready for `patchflow cosegment`
    ROOT/truth/<set>/<stem>.png       the exact masks of the composed sets
    ROOT/pair/left.png, right.png     a stereo pair; disparity.npy, (H, W) float32, NaN: unknown
    ROOT/video/frames/<frame>.jpg     a short clip, and its masks in video/truth/<frame>.png
"""

import io
from dataclasses import dataclass

import cv2
import numpy as np

from storage.files import join, write_bytes
from storage.results import write_mask, write_rgb
from tasks.demo_photographs import (
    Photograph,
    Thing,
    photograph,
    thing,
    true_disparity,
)
from tasks.demo_scenes import BACKDROPS, CLIP_FRAMES, CLIP_THING, COMPOSED, Scene, clip_scene
from tasks.ops.compose import Composite, ImageArray, paste, relight

JPEG_QUALITY = 95
PLAIN_SET = "photographs"
PLAIN_WIDTH = 400
_PLAIN: tuple[Photograph, ...] = (
    "astronaut", "cat", "coffee", "flower", "hopper", "china", "motorcycle_left", "rocket",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DemoSet:
    """One set of pictures. images: URL of its folder; truth: of its masks' folder, None where
    nobody knows them; count: pictures in it.
    """

    name: str
    images: str
    truth: str | None
    count: int


@dataclass(frozen=True, slots=True)
class DemoPair:
    """Two views of one thing. disparity: URL of a .npy, (H, W) float32 in pixels of source;
    the point (x, y) of source lies at (x - disparity, y) in target, NaN where unknown.
    """

    source: str
    target: str
    disparity: str


@dataclass(frozen=True, slots=True)
class DemoClip:
    """A short video. frames, truth: URLs of folders with one file of the same stem a frame."""

    frames: str
    truth: str
    count: int


@dataclass(frozen=True, slots=True)
class DemoSets:
    """All that the demo runs on. images: URL of the folder that holds the folders of `sets`."""

    images: str
    sets: tuple[DemoSet, ...]
    pair: DemoPair
    clip: DemoClip


def write_demo_sets(root: str) -> DemoSets:
    """Draw the demo's pictures and write them below `root`, any fsspec URL; the same each time."""
    composed = [write_composed_set(name, scenes, root) for name, scenes in COMPOSED.items()]
    plain = write_plain_set(root)
    return DemoSets(
        join(root, "sets"), (*composed, plain), write_stereo_pair(root), write_clip(root)
    )


def write_composed_set(name: Thing, scenes: tuple[Scene, ...], root: str) -> DemoSet:
    """One object in several scenes, with its exact masks."""
    images, truth = join(root, "sets", name), join(root, "truth", name)
    for scene in scenes:
        picture = draw_scene(name, scene)
        write_rgb(join(images, f"{scene.backdrop}.jpg"), picture.image, quality=JPEG_QUALITY)
        write_mask(join(truth, f"{scene.backdrop}.png"), picture.mask)
    return DemoSet(name, images, truth, len(scenes))


def write_plain_set(root: str) -> DemoSet:
    """The photographs as they are, brought to one width: a set without a common object."""
    images = join(root, "sets", PLAIN_SET)
    for name in _PLAIN:
        pixels = photograph(name)
        height = round(pixels.shape[0] * PLAIN_WIDTH / pixels.shape[1])
        small = _resized(pixels, (PLAIN_WIDTH, height))
        write_rgb(join(images, f"{name}.jpg"), small, quality=JPEG_QUALITY)
    return DemoSet(PLAIN_SET, images, None, len(_PLAIN))


def write_stereo_pair(root: str) -> DemoPair:
    """The motorcycle from the left and the right, at full size, with its true disparity."""
    folder = join(root, "pair")
    buffer = io.BytesIO()
    np.save(buffer, true_disparity())
    write_bytes(join(folder, "disparity.npy"), buffer.getvalue())
    return DemoPair(
        write_rgb(join(folder, "left.png"), photograph("motorcycle_left")),
        write_rgb(join(folder, "right.png"), photograph("motorcycle_right")),
        join(folder, "disparity.npy"),
    )


def write_clip(root: str) -> DemoClip:
    """An object that crosses a still backdrop, comes nearer and turns."""
    frames, truth = join(root, "video", "frames"), join(root, "video", "truth")
    for frame in range(CLIP_FRAMES):
        picture = draw_scene(CLIP_THING, clip_scene(frame))
        write_rgb(join(frames, f"{frame:05d}.jpg"), picture.image, quality=JPEG_QUALITY)
        write_mask(join(truth, f"{frame:05d}.png"), picture.mask)
    return DemoClip(frames, truth, CLIP_FRAMES)


def draw_scene(name: Thing, scene: Scene) -> Composite:
    """The object in its scene, (H, W, 3) uint8 RGB, and its mask."""
    source, (left, top, right, bottom), size = BACKDROPS[scene.backdrop]
    backdrop = _resized(photograph(source)[top:bottom, left:right], size)
    lit = thing(name)._replace(
        image=relight(
            thing(name).image,
            brightness=scene.brightness,
            contrast=scene.contrast,
            warmth=scene.warmth,
        )
    )
    width, height = size
    return paste(
        backdrop,
        lit,
        centre=(scene.at[0] * width, scene.at[1] * height),
        height=scene.height * height,
        degrees=scene.degrees,
        flip=scene.flip,
    )


def _resized(pixels: ImageArray, size: tuple[int, int]) -> ImageArray:
    """Pixels brought to (width, height)."""
    way = cv2.INTER_AREA if size[0] < pixels.shape[1] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(np.ascontiguousarray(pixels), size, interpolation=way), np.uint8)
