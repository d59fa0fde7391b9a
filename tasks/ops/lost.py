"""LOST (Siméoni et al. 2021, arXiv 2109.14279): grow an object from its least connected patch."""

import numpy as np

from tasks.ops.arrays import Array, array_namespace, to_numpy
from tasks.ops.boxes import component_at
from tasks.ops.discovery import Discovery, nothing, one_object, read_scene
from tasks.ops.spectral import tiles


def lost(
    descriptors: Array,
    saliency: np.ndarray,
    *,
    neighbours: int = 100,
    center: bool = False,
) -> list[Discovery]:
    """Find one object an image.

    A = K K^T of descriptors as they are. The degree of p is the number of q != p with
    A(p, q) > 0. The seed has the lowest (the first of equals); S are those of the `neighbours`
    lowest degrees that correlate positively with it; the object is where A(., s) summed over S
    is positive, the component with the seed.

    Args:
        descriptors: (B, rows, cols, D). saliency: (B, rows, cols), for the scores.
        neighbours: the paper's k. center: subtract the image's mean descriptor first; needed
            where all descriptors point one way (DINOv2), as then no product is negative.

    Raises:
        ValueError: see `discovery.read_scene`.
    """
    scene = read_scene(descriptors, saliency)
    keys = scene.centred if center else scene.raw
    found: list[Discovery] = []
    for image, degree in enumerate(degrees(keys)):
        if degree.min() == degree.max():
            reason = "all patches are equally connected: nothing stands out"
            found.append(nothing(scene.shape, reason))
            continue
        lowest = np.argsort(degree, kind="stable")[:neighbours]
        seed = int(lowest[0])
        few = keys[image][lowest.tolist()]
        products = to_numpy(few @ keys[image].mT)
        soft = products[products[0, lowest] > 0].sum(axis=0).reshape(scene.shape)
        if not soft.flat[seed] > 0:
            found.append(nothing(scene.shape, "the seed resembles nothing", soft))
            continue
        mask = component_at(soft > 0, seed)
        found.append(one_object(mask, seed, soft, scene.saliency[image]))
    return found


def degrees(keys: Array) -> np.ndarray:
    """How many other patches correlate positively with each; never an array of N^2.

    Args:
        keys: (B, N, D).

    Returns:
        (B, N) int64.
    """
    xp = array_namespace(keys)
    counts = np.zeros(keys.shape[:2], dtype=np.int64)
    for rows, cols in tiles(keys.shape[1]):
        positive = keys[:, rows] @ keys[:, cols].mT > 0
        counts[:, rows] += to_numpy(xp.count_nonzero(positive, axis=2))
        if rows != cols:
            counts[:, cols] += to_numpy(xp.count_nonzero(positive, axis=1))
    own = xp.linalg.vector_norm(keys, axis=2) > 0
    return counts - to_numpy(own)
