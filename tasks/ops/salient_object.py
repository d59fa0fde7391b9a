"""The simplest discovery: what the CLS token attends to."""

import numpy as np

from tasks.ops.arrays import Array
from tasks.ops.discovery import Discovery, nothing, read_scene
from tasks.ops.objectness import objects_of


def salient_object(
    descriptors: Array, saliency: np.ndarray, *, ratio: float = 1.0, objects: int = 1
) -> list[Discovery]:
    """Find objects where saliency exceeds `ratio` times the image's mean.

    Components are ranked by the saliency that they have beyond it.

    Args:
        descriptors: (B, rows, cols, D), for artefacts alone. saliency: (B, rows, cols).
        objects: at most, an image.

    Raises:
        ValueError: see `discovery.read_scene`.
    """
    scene = read_scene(descriptors, saliency)
    return [
        objects_of(one, one, ratio * float(one.mean()), objects)
        if one.max() > one.min()
        else nothing(scene.shape, "the saliency is the same everywhere")
        for one in scene.saliency
    ]
