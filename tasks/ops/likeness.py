"""Whether the objects of a set's images are of one kind: how well their patches match.

An object's patches are matched with those of every other image's object. That needs descriptors
that tell kinds apart, such as tokens of a middle layer; the last keys, which tell object from
ground, are alike for all objects.
"""

from collections.abc import Iterable

import numpy as np

from tasks.ops.patch_grid import unit

_PATCHES = 80  # of an image's object, and of its ground
_FEWEST = 5  # patches that an object must have to be compared
_FLAT = 0.1  # mean distance inside an image: black pictures have 0.05, photographs 0.6 to 0.8


def likeness(images: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    """How alike the objects of a set are: mean cosine to the best match in another image, of the
    better half of an object's patches, over the mean cosine distance inside an image.

    The better half, as an object seen from the other side shows half of its parts. The division,
    as patches of one image share something of that image (its light, its sharpness); the more
    they share, the nearer they are to each other and the farther from all other images.

    Args:
        images: for each image descriptors (rows, cols, D) and its object (rows, cols) bool; one
            of them is in memory at a time. Images whose object has less than 5 patches are left
            out.

    Returns:
        0 for objects without anything in common, above 1 for copies of one image; NaN for less
        than two objects, or images with hardly any contrast.
    """
    objects, distances = [], []
    for descriptors, inside in images:
        flat = descriptors.reshape(-1, descriptors.shape[-1])
        front, ground = np.flatnonzero(inside), np.flatnonzero(~inside)
        if len(front) < _FEWEST:
            continue
        points = _points(flat, front)
        objects.append(points)
        distances.append(_spread(points, _points(flat, ground)))
    if len(objects) < 2 or np.mean(distances) < _FLAT:
        return float("nan")
    everything = np.concatenate(objects)
    starts = np.cumsum([0, *(len(one) for one in objects[:-1])])
    matches = []
    for number, points in enumerate(objects):
        best = np.maximum.reduceat(points @ everything.T, starts, axis=1)  # (patches, images)
        better = np.sort(best, axis=0)[len(points) // 2 :].mean(axis=0)
        matches.append(np.delete(better, number).mean())
    return float(np.mean(matches) / np.mean(distances))


def _spread(points: np.ndarray, ground: np.ndarray) -> float:
    """Mean cosine distance of an object's patches to each other and to the ground, half and half;
    to each other alone where there is no ground.
    """
    among = points @ points.T
    inside = 1 - (among.sum() - np.trace(among)) / (among.size - len(among))
    return float(inside if not len(ground) else (inside + 1 - (points @ ground.T).mean()) / 2)


def _points(flat: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Evenly spaced members of an image's descriptors, unit length, float32."""
    if len(members) > _PATCHES:
        members = members[np.linspace(0, len(members) - 1, _PATCHES).round().astype(int)]
    return unit(flat[members].astype(np.float32))
