"""What a run has to do, as a value that can be printed before anything runs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from storage.heap import collection_paused
from storage.index import MarkedImage, StoreIndex
from storage.refs import ImageRef
from storage.sealed import digest, encode

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
        failed: images that failed before, unchanged, and are left alone.
    """

    new: tuple[ImageRef, ...]
    changed: tuple[ImageRef, ...]
    retried: tuple[ImageRef, ...]
    gone: tuple[str, ...]
    unchanged: int
    failed: tuple[MarkedImage, ...]

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
    failed: list[MarkedImage] = []
    stale = [*index.images, *(mark.name for mark in index.failures)]
    listed: set[str] = set()
    unchanged = 0
    for ref in listing:
        if stale:
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
            failed.append(mark)
    gone = sorted(name for name in stale if name not in listed)
    return Changes(
        tuple(new), tuple(changed), tuple(retried), tuple(gone), unchanged, tuple(failed)
    )


@collection_paused()
def plan_partitions(
    sized: Iterable[tuple[ImageRef, int, int, tuple[int, int]]],
    index: StoreIndex,
    config_digest: str,
    size: int = PARTITION_SIZE,
) -> tuple[Partition, ...]:
    """Cut images into partitions, in the order of their names, each of one patch grid.

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
    begun: dict[tuple[int, int], list[PlannedImage]] = {}
    done: dict[tuple[int, int], list[Partition]] = {}

    def close(grid: tuple[int, int]) -> None:
        images = tuple(begun.pop(grid))
        made = Partition(partition_id(config_digest, grid, images), grid, images)
        done.setdefault(grid, []).append(made)

    for ref, width, height, grid in sorted(sized, key=lambda image: image[0].name):
        entry = index.get(ref.name)
        images = begun.setdefault(grid, [])
        images.append(PlannedImage(ref, width, height, () if entry is None else entry.heads))
        if len(images) == size:
            close(grid)
    for grid in tuple(begun):
        close(grid)
    return tuple(partition for grid in sorted(done) for partition in done[grid])


def partition_id(config_digest: str, grid: tuple[int, int], images: Sequence[PlannedImage]) -> str:
    """blake2b-128 over the config, the grid and what each image is and supersedes."""
    rows = [(image.ref.name, image.ref.version, image.supersedes) for image in images]
    return digest(config_digest.encode(), encode(grid), encode(rows))
