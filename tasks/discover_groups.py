"""Found objects sorted into groups that look alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.discover_found import FoundImage, unpack_descriptor
from tasks.ops.kmeans import assign, elbow_kmeans


@dataclass(frozen=True, slots=True)
class Group:
    """Objects that look alike. members: (image, object) indices, most typical first."""

    name: str
    members: tuple[tuple[int, int], ...]


def group_objects(images: Sequence[FoundImage], most: int, seed: int = 0) -> list[Group]:
    """Sort all objects into at most `most` groups by their descriptors, largest group first."""
    where = [(i, j) for i, image in enumerate(images) for j in range(len(image.objects))]
    if not most or len(where) < 2:
        return []
    points = np.stack([unpack_descriptor(images[i].objects[j].descriptor) for i, j in where])
    # Objects of a set share much (all are "objects"): what they differ in is about their mean.
    points = points - points.mean(axis=0)
    points /= np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-6)
    step = -(-len(points) // 5000)
    clusters = elbow_kmeans(points, max_clusters=most, elbow=0.97, sample_step=step, seed=seed)
    labels = assign(points, clusters.centers)
    nearness = (points * clusters.centers[labels]).sum(axis=1)
    found: list[tuple[tuple[int, int], ...]] = []
    for label in range(len(clusters.centers)):
        inside = np.flatnonzero(labels == label)
        order = inside[np.argsort(-nearness[inside], kind="stable")]
        if len(order):
            found.append(tuple(where[k] for k in order))
    found.sort(key=len, reverse=True)
    return [Group(f"group {number:02d}", members) for number, members in enumerate(found, 1)]
