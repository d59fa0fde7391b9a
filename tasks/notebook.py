"""Descriptors in a notebook, without a flow: objects that draw themselves.

::

    from tasks.notebook import describe_images

    dogs = describe_images("photos/dogs")      # a folder, a glob, paths, or arrays
    dogs                                       # pictures, saliency, descriptors as colours
    dogs.clusters(6)                           # what recurs in them
    dogs.masks()                               # the object that they share
    dogs.matches(0, 1)                         # points that correspond
    dogs.similar(0, x=120, y=80)               # one point, everywhere else

Everything is held in memory: tens of images, not thousands; those belong in a store.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from storage.images import ImageRef, list_images, read_image
from tasks.config import ExtractConfig
from tasks.describe import describe
from tasks.notebook_images import CLUSTERED, DescribedImages
from tasks.ops.compose import ImageArray


def describe_images(
    images: str | Sequence[str | np.ndarray], config: ExtractConfig | None = None, **settings: Any
) -> DescribedImages:
    """Read and describe images.

    Args:
        images: a folder, glob, list file or any fsspec URL of those; or paths, or arrays
            (H, W, 3) uint8.
        config: settings; by default the extractor's, and what `masks` needs from the same pass.
        settings: fields of `ExtractConfig`, instead of `config`.

    Raises:
        ValueError: both `config` and settings, no image, or an array of another kind.
    """
    if config is not None and settings:
        raise ValueError(f"expected a config or single settings, got both: {sorted(settings)}")
    if config is None:
        settings.setdefault("also", (f"{CLUSTERED.layer}.{CLUSTERED.facet}",))
        config = ExtractConfig(**settings)
    names, pixels = _read(images)
    return DescribedImages(names, pixels, tuple(describe(pixels, config)), config)


def _read(
    images: str | Sequence[str | np.ndarray],
) -> tuple[tuple[str, ...], tuple[ImageArray, ...]]:
    if isinstance(images, str):
        listed = list_images(images)
        return tuple(r.name for r in listed), tuple(read_image(r) for r in listed)
    if not images:
        raise ValueError("expected at least one image, got none")
    names, pixels = [], []
    for number, image in enumerate(images):
        if isinstance(image, np.ndarray):
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
                raise ValueError(
                    f"image {number}: expected (H, W, 3) uint8, got {image.shape} {image.dtype}"
                )
            names.append(f"image {number}")
            pixels.append(image)
        else:
            names.append(str(image).rpartition("/")[2])
            pixels.append(read_image(ImageRef(names[-1], str(image), 0, "")))
    return tuple(names), tuple(pixels)
