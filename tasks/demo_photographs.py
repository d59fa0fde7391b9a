"""Photographs that installed packages carry, and the objects cut out of them.

Nothing is downloaded: every file lies in the wheel of scikit-image, scikit-learn or matplotlib.
The outlines were drawn on these very photographs; (x, y) pixels, in drawing order.
"""

from functools import cache
from importlib import resources
from typing import Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from tasks.ops.compose import CutOut, ImageArray, MaskArray, cut_out

Photograph = Literal[
    "astronaut", "brick", "cat", "china", "coffee", "flower", "gravel", "grass", "hopper",
    "motorcycle_left", "motorcycle_right", "rocket",
]  # fmt: skip
Thing = Literal["astronaut", "coffee", "flower"]
PHOTOGRAPHS: tuple[Photograph, ...] = get_args(Photograph)
THINGS: tuple[Thing, ...] = get_args(Thing)

_FILES: dict[Photograph, tuple[str, str]] = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "brick": ("skimage", "data/brick.png"),
    "cat": ("skimage", "data/chelsea.png"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "coffee": ("skimage", "data/coffee.png"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "gravel": ("skimage", "data/gravel.png"),
    "grass": ("skimage", "data/grass.png"),
    "hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    "motorcycle_left": ("skimage", "data/motorcycle_left.png"),
    "motorcycle_right": ("skimage", "data/motorcycle_right.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
}
_DISPARITY = ("skimage", "data/motorcycle_disp.npz")

# fmt: off
_ASTRONAUT = (
    (193, 29), (189, 35), (169, 47), (153, 70), (154, 92), (157, 104), (170, 117), (172, 122),
    (178, 124), (188, 134), (187, 147), (181, 150), (157, 150), (140, 158), (129, 170), (127, 179),
    (121, 183), (120, 192), (124, 205), (119, 206), (115, 200), (107, 211), (90, 227), (76, 235),
    (65, 246), (55, 262), (54, 267), (50, 271), (42, 291), (39, 306), (34, 315), (26, 342),
    (25, 374), (19, 391), (19, 418), (24, 432), (24, 470), (26, 484), (30, 495), (37, 502),
    (39, 507), (511, 508), (511, 474), (509, 473), (508, 459), (497, 452), (494, 430), (485, 402),
    (463, 370), (428, 349), (402, 344), (360, 349), (359, 336), (362, 330), (357, 324), (356, 302),
    (352, 287), (346, 279), (345, 272), (336, 268), (318, 252), (303, 241), (300, 232), (294, 218),
    (285, 204), (275, 189), (262, 179), (253, 172), (258, 148), (268, 136), (276, 132), (290, 117),
    (296, 107), (299, 97), (299, 72), (296, 66), (296, 58), (288, 43), (276, 31), (248, 18),
    (241, 19), (236, 16), (227, 16), (212, 22), (205, 21),
)
_SPOON_HANDLE = ((398, 70), (408, 67), (422, 70), (425, 76), (415, 109), (406, 134), (395, 134))
# fmt: on
_SAUCER = ((277.8, 222.6), (335.4, 404.5), 99.3)  # centre, diameters, degrees
_CUP = ((289.5, 100.5), (166.9, 232.6), 93.5)
_BLOOM_CENTRE, _BLOOM_RADIUS = (308, 222), 143


@cache
def photograph(name: Photograph) -> ImageArray:
    """One photograph, (H, W, 3) uint8 RGB, as its package carries it; do not write into it.

    Raises:
        FileNotFoundError: the package is there but came without the picture.
    """
    package, path = _FILES[name]
    file = resources.files(package) / path
    try:
        with file.open("rb") as stream, Image.open(stream) as picture:
            pixels = np.asarray(picture.convert("RGB"))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"expected the photograph {path} inside of the package {package}; "
            "reinstall the package from its wheel"
        ) from error
    return pixels


def true_disparity() -> npt.NDArray[np.float32]:
    """Disparity of the stereo pair, (H, W) float32 in pixels, NaN where unknown.

    The point of the left picture at (x, y) lies at (x - disparity, y) in the right one.
    """
    package, path = _DISPARITY
    with (resources.files(package) / path).open("rb") as stream, np.load(stream) as archive:
        disparity = np.asarray(archive["arr_0"], np.float32)
    return np.where(np.isfinite(disparity), disparity, np.float32(np.nan))


@cache
def thing(name: Thing) -> CutOut:
    """One object, cut out of its photograph by its outline."""
    return cut_out(photograph(name), thing_mask(name))


def thing_mask(name: Thing) -> MaskArray:
    """Where the object lies in its photograph, (H, W) bool."""
    image = photograph(name)
    canvas = np.zeros(image.shape[:2], np.uint8)
    if name == "astronaut":
        _fill(canvas, _ASTRONAUT)
    elif name == "coffee":
        cv2.ellipse(canvas, _SAUCER, 1, -1)
        cv2.ellipse(canvas, _CUP, 1, -1)
        _fill(canvas, _SPOON_HANDLE)
    else:
        canvas = _bloom(image)
    return canvas.astype(bool)


def _fill(canvas: npt.NDArray[np.uint8], outline: tuple[tuple[int, int], ...]) -> None:
    cv2.fillPoly(canvas, [np.array(outline, np.int32)], 1)


def _bloom(image: ImageArray) -> npt.NDArray[np.uint8]:
    """The large blossom: much redder than blue, inside of a circle, without holes."""
    red_over_blue = image[:, :, 0].astype(int) - image[:, :, 2]
    disc = np.zeros(image.shape[:2], np.uint8)
    cv2.circle(disc, _BLOOM_CENTRE, _BLOOM_RADIUS, 1, -1)
    petals = ((red_over_blue > 45) & (disc > 0)).astype(np.uint8)
    outlines, _ = cv2.findContours(petals, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    bloom = np.zeros_like(petals)
    cv2.fillPoly(bloom, [max(outlines, key=cv2.contourArea)], 1)
    return bloom
