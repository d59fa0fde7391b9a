"""Found objects sorted into groups that look alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.discover_found import FoundImage, unpack_descriptor
from tasks.ops.grouping import group_alike


@dataclass(frozen=True, slots=True)
class Group:
    """Objects that look alike. members: (image, object) indices, most typical first."""

    name: str
    members: tuple[tuple[int, int], ...]


def group_objects(images: Sequence[FoundImage], most: int) -> list[Group]:
    """Sort all objects into at most `most` groups by their descriptors, largest group first."""
    where = [(i, j) for i, image in enumerate(images) for j in range(len(image.objects))]
    if not most or len(where) < 2:
        return []
    descriptors = [unpack_descriptor(images[i].objects[j].descriptor) for i, j in where]
    labels, nearness = group_alike(np.stack(descriptors), most)
    found: list[tuple[tuple[int, int], ...]] = []
    for label in np.unique(labels):
        inside = np.flatnonzero(labels == label)
        order = inside[np.argsort(-nearness[inside], kind="stable")]
        found.append(tuple(where[k] for k in order))
    found.sort(key=len, reverse=True)
    return [Group(f"group {number:02d}", members) for number, members in enumerate(found, 1)]
