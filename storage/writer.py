"""Writing one partition: shards whole, the commit last."""

import time
from collections.abc import Sequence

import numpy as np
import zarr

from storage.arrays import Arrays, create_group, image_digest, shard_images
from storage.errors import StorageError
from storage.files import exists, join
from storage.layout import ArraySpec, Commit, ImageRecord, Mark, new_attempt
from storage.marks import Failure, failure_mark, write_commit, write_failures
from storage.planning import Partition
from storage.refs import ImageRef
from storage.shards import ShardWriter

__all__ = ["Failure", "PartitionWriter", "image_digest", "shard_images", "write_commit"]


class PartitionWriter:
    """Takes the images of one partition one by one; use it from one thread.

    It holds at most one shard (64 MiB, 32 images) of every array. Nothing that it wrote exists
    for a reader before ``commit``; a writer that dies leaves a folder for ``gc``.
    """

    def __init__(
        self,
        url: str,
        partition: Partition,
        arrays: Sequence[ArraySpec],
        *,
        count: int | None = None,
    ) -> None:
        self.partition = partition
        self._count = len(partition.images) if count is None else count
        self.arrays = tuple(sorted(arrays, key=lambda spec: spec.name))
        self.attempt = new_attempt()
        self._started = time.perf_counter()
        self._url = url
        self._group_url = join(url, "partitions", partition.id, self.attempt)
        self._planned = {image.ref.name: image for image in partition.images}
        self._group: zarr.Group | None = None
        self._shards: dict[str, ShardWriter] = {}
        self._records: list[ImageRecord] = []

    def append(self, ref: ImageRef, width: int, height: int, arrays: Arrays) -> None:
        """Add one image.

        Args:
            ref: one of the partition's images, each at most once.
            width: of the original image, in pixels.
            height: likewise.
            arrays: one array for every spec, of exactly its shape and dtype, all finite.
        """
        planned = self._planned.get(ref.name)
        if planned is None:
            raise StorageError(
                f"{ref.name}: not planned for partition {self.partition.id}, or added before."
            )
        for spec in self.arrays:
            _check(ref.name, spec, arrays)
        arrays = {spec.name: arrays[spec.name] for spec in self.arrays}
        del self._planned[ref.name]
        record = ImageRecord(
            *(ref.name, ref.url, ref.bytes, ref.version, width, height),
            *(image_digest(arrays), "", planned.supersedes),
        )
        self.append_record(record, arrays)

    def append_record(self, record: ImageRecord, arrays: Arrays) -> None:
        """Add an image whose record is known, as ``compact`` copies them."""
        if self._group is None:
            self._group = create_group(self._group_url, self.arrays, self._count)
            self._shards = {
                spec.name: ShardWriter(self._group_url, spec, self._count) for spec in self.arrays
            }
        self._records.append(record)
        for name, shards in self._shards.items():
            shards.append(arrays[name])

    def commit(self, failures: Sequence[Failure] = (), *, replaces: tuple[str, ...] = ()) -> Commit:
        """Make the partition exist, and return the commit that counts.

        That is another writer's where that one was first; then this attempt is left to ``gc``.
        """
        marks = tuple(self._mark(failure) for failure in failures)
        unaccounted = self._planned.keys() - {mark.name for mark in marks}
        if unaccounted:
            raise StorageError(
                f"partition {self.partition.id}: {len(unaccounted)} planned images were neither "
                f"added nor reported as failed, e.g. {min(unaccounted)}."
            )
        if self._records:
            self._finish_group()
        commit = Commit(
            self.partition.id,
            self.attempt,
            self.partition.grid if self._records else (0, 0),
            self.arrays,
            tuple(self._records),
            marks,
            replaces,
            round(time.perf_counter() - self._started, 3),
        )
        write_failures(self._url, commit.id, failures)
        return write_commit(self._url, commit)

    def _mark(self, failure: Failure) -> Mark:
        ref = failure.ref
        planned = self._planned.get(ref.name)
        if planned is None:
            raise StorageError(
                f"{ref.name}: reported as failed, but it is not planned for partition "
                f"{self.partition.id} or was added to it."
            )
        return failure_mark(failure, planned.supersedes)

    def _finish_group(self) -> None:
        if not exists(join(self._group_url, "zarr.json")):
            raise StorageError(
                f"{self._group_url}: vanished while it was written, most likely by `gc` with a "
                "grace time shorter than this run. Run again with a longer one."
            )
        for shards in self._shards.values():
            shards.flush()
        assert self._group is not None  # noqa: S101 - there are records, so it was made
        count = len(self._records)
        if count != self._count:
            for spec in self.arrays:
                array = self._group[spec.name]
                array.resize((count, *spec.shape))
        self._group.attrs.update(
            {
                "names": [record.name for record in self._records],
                "sizes_width_height": [(r.width, r.height) for r in self._records],
                "grid_rows_cols": list(self.partition.grid),
                "partition": self.partition.id,
            }
        )


def _check(name: str, spec: ArraySpec, arrays: Arrays) -> None:
    if spec.name not in arrays:
        raise StorageError(f"{name}: array {spec.name!r} is missing, got {sorted(arrays)}.")
    array = arrays[spec.name]
    if array.shape != spec.shape or array.dtype != np.dtype(spec.dtype):
        raise StorageError(
            f"{name}: {spec.name} should be {spec.shape} {spec.dtype}, "
            f"got {array.shape} {array.dtype}."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise StorageError(
            f"{name}: {spec.name} holds NaN or infinity. Values beyond 65504 do not fit float16."
        )
