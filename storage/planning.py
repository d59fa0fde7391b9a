"""What a run has to do, as a value that can be printed before anything runs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from storage.heap import collection_paused
from storage.index import StoreIndex
from storage.layout import digest, encode
from storage.refs import ImageRef

__all__ = ["Changes", "Partition", "PlannedImage", "compare", "plan_partitions"]

PARTITION_SIZE = 256


class PlannedImage(NamedTuple):
    """One image to be stored.

    Attributes:
        ref: where it lies.
        width, height: pixels of the original image.
        supersedes: ids of the entries that its descriptors will replace in the index.
    """

    ref: ImageRef
    width: int
    height: int
    supersedes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Partition:
    """Images of one patch grid that one task reads, computes and commits.

    Attributes:
        id: derived from the store's config and the images, so that a re-run finds what is there.
        grid: (rows, cols) of patches.
        images: sorted by name.
    """

    id: str
    grid: tuple[int, int]
    images: tuple[PlannedImage, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """A listing compared with a store.

    Attributes:
        new: images that the store has not seen, or that came back.
        changed: images whose version differs from the stored one.
        retried: images that failed before and are tried again.
        gone: stored names that the listing lacks.
        unchanged: number of images that need nothing.
        failed: number of images that failed before, unchanged, and are left alone.
    """

    new: tuple[ImageRef, ...]
    changed: tuple[ImageRef, ...]
    retried: tuple[ImageRef, ...]
    gone: tuple[str, ...]
    unchanged: int
    failed: int

    @property
    def todo(self) -> tuple[ImageRef, ...]:
        """Images to be stored, sorted by name."""
        together = (*self.new, *self.changed, *self.retried)
        return tuple(sorted(together, key=lambda ref: ref.name))


@collection_paused()
def compare(
    listing: Iterable[ImageRef], index: StoreIndex, *, retry_failures: bool = False
) -> Changes:
    """Compare a source with a store, by name and version.

    Args:
        listing: all images of the source; names are unique.
        index: the store's state.
        retry_failures: try images again that failed in the same version.
    """
    new: list[ImageRef] = []
    changed: list[ImageRef] = []
    retried: list[ImageRef] = []
    listed: set[str] = set()
    unchanged = failed = 0
    for ref in listing:
        listed.add(ref.name)
        if (image := index.images.get(ref.name)) is not None:
            if (image.version, image.bytes) == (ref.version, ref.bytes):
                unchanged += 1
            else:
                changed.append(ref)
        elif (mark := index.marks.get(ref.name)) is None or mark.state != "failed":
            new.append(ref)
        elif mark.version != ref.version:
            changed.append(ref)
        elif retry_failures:
            retried.append(ref)
        else:
            failed += 1
    stale = [*index.images, *(mark.name for mark in index.failures)]
    gone = sorted(name for name in stale if name not in listed)
    return Changes(tuple(new), tuple(changed), tuple(retried), tuple(gone), unchanged, failed)


@collection_paused()
def plan_partitions(
    sized: Iterable[tuple[ImageRef, int, int, tuple[int, int]]],
    index: StoreIndex,
    config_digest: str,
    size: int = PARTITION_SIZE,
) -> tuple[Partition, ...]:
    """Group images by patch grid, sort them by name and cut them into partitions.

    A partition that is committed takes whole chunks out of this order, so the same listing gives
    the same remaining partitions after any interruption.

    Args:
        sized: (ref, width, height, (rows, cols)) of every image to be stored.
        index: the store's state, for what each image supersedes.
        config_digest: ``DescriptorStore.config_digest``.
        size: most images of a partition.
    """
    if size < 1:
        raise ValueError(f"partition size must be at least 1, got {size}.")
    by_grid: dict[tuple[int, int], list[PlannedImage]] = {}
    for ref, width, height, grid in sized:
        entry = index.get(ref.name)
        heads = () if entry is None else entry.heads
        by_grid.setdefault(grid, []).append(PlannedImage(ref, width, height, heads))
    partitions: list[Partition] = []
    for grid in sorted(by_grid):
        images = sorted(by_grid.pop(grid), key=lambda image: image.ref.name)
        for start in range(0, len(images), size):
            chunk = tuple(images[start : start + size])
            partitions.append(Partition(partition_id(config_digest, grid, chunk), grid, chunk))
    return tuple(partitions)


def partition_id(config_digest: str, grid: tuple[int, int], images: Sequence[PlannedImage]) -> str:
    """blake2b-128 over the config, the grid and what each image is and supersedes."""
    rows = [(image.ref.name, image.ref.version, image.supersedes) for image in images]
    return digest(config_digest.encode(), encode(grid), encode(rows))
