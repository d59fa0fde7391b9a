"""Small partitions copied into large ones, many commits into one index, while readers go on."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from storage.arrays import image_digest, shard_images
from storage.descriptors import DescriptorStore
from storage.errors import StoreCorruptError
from storage.heap import collection_paused
from storage.index import PartitionInfo, StoredImage, StoreIndex
from storage.layout import ImageRecord
from storage.planning import PARTITION_SIZE, Partition
from storage.reader import open_array, read_rows
from storage.sealed import digest, encode
from storage.snapshot_writer import write_snapshot
from storage.writer import PartitionWriter

__all__ = ["CompactReport", "compact"]

Members = dict[str, list[StoredImage]]


@dataclass(frozen=True, slots=True)
class CompactReport:
    """What `compact` did.

    Attributes:
        merged: partitions whose images were copied.
        written: partitions that were made of them.
        images: images in the index.
        generation: number of the index that was written.
    """

    merged: int
    written: int
    images: int
    generation: int


def compact(store: DescriptorStore, *, size: int = PARTITION_SIZE) -> CompactReport:
    """Copy small partitions together and write one index of everything.

    Nothing is removed: readers that hold an older index go on, and `gc` sweeps later. Partitions
    count as small with at most half of ``size`` living images.
    """
    written = merged = 0
    index = store.refresh()
    with collection_paused():
        living = Counter(image.partition for image in index.images.values())
        packs = list(_packs(index, living, size))
        members = index.members() if packs else {}
    for group in packs:
        _merge(store, group, members)
        merged += len(group)
        written += 1
    if written:
        index = store.refresh()
    while (snapshot := write_snapshot(store.url, index)) is None:
        index = store.refresh()
    return CompactReport(merged, written, len(index), snapshot.generation)


def _packs(
    index: StoreIndex, living: Mapping[str, int], size: int
) -> Iterator[list[PartitionInfo]]:
    """Small partitions of one kind, packed in order up to ``size`` images."""
    kinds: dict[object, list[PartitionInfo]] = {}
    for partition in index.partitions.values():
        if 2 * living[partition.id] <= size:
            kinds.setdefault((partition.grid, partition.arrays), []).append(partition)
    for small in kinds.values():
        pack: list[PartitionInfo] = []
        total = 0
        for partition in small:
            count = living[partition.id]
            if total + count > size:
                yield from _worthwhile(pack, living)
                pack, total = [], 0
            pack.append(partition)
            total += count
        yield from _worthwhile(pack, living)


def _worthwhile(
    pack: list[PartitionInfo], living: Mapping[str, int]
) -> Iterator[list[PartitionInfo]]:
    mostly_dead = any(2 * living[part.id] < part.count for part in pack)
    if len(pack) > 1 or (pack and mostly_dead):
        yield pack


def _merge(store: DescriptorStore, group: Sequence[PartitionInfo], members: Members) -> None:
    """One partition of the living images of several; each keeps the head that it had."""
    sources = tuple(partition.id for partition in group)
    living = [image for partition in group for image in members[partition.id]]
    names = [image.name for image in living]
    key = digest(store.config_digest.encode(), b"compact", encode(sources), encode(names))
    target = Partition(key, group[0].grid, ())
    writer = PartitionWriter(store.url, target, group[0].arrays, count=len(living))
    for partition in group:
        for image, arrays in _read(store.url, partition, members[partition.id]):
            if image_digest(arrays) != image.digest:
                raise StoreCorruptError(
                    f"partition {partition.id}: {image.name} does not match its digest, so it "
                    "was not copied. Run `patchflow verify --repair` first."
                )
            record = ImageRecord(
                *(image.name, image.url, image.bytes, image.version, image.width, image.height),
                *(image.digest, image.heads[0], ()),
            )
            writer.append_record(record, arrays)
    writer.commit(replaces=sources)


def _read(
    url: str, partition: PartitionInfo, images: Sequence[StoredImage]
) -> Iterator[tuple[StoredImage, dict[str, NDArray[Any]]]]:
    """All arrays of each image, read by the shard."""
    arrays = {spec.name: open_array(url, partition, spec.name) for spec in partition.arrays}
    step = min(shard_images(spec, partition.count) for spec in partition.arrays)
    for start in range(0, len(images), step):
        chunk = images[start : start + step]
        rows = [image.position for image in chunk]
        blocks = {name: read_rows(array, partition, rows) for name, array in arrays.items()}
        for number, image in enumerate(chunk):
            yield image, {name: block[number] for name, block in blocks.items()}
