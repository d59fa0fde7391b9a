"""The descriptor store: immutable partitions that count once they are committed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import zarr
from numpy.typing import NDArray

from storage.errors import StorageError, StoreCorruptError
from storage.files import create_exclusively, join, read_bytes
from storage.index import StoredImage
from storage.layout import FORMAT, ArraySpec, Commit, Mark, State
from storage.marks import (
    Failure,
    failure_mark,
    marks_commit,
    marks_of,
    write_commit,
    write_failures,
)
from storage.planning import Partition
from storage.reader import open_array, read_block
from storage.sealed import digest, encode
from storage.settings import ordered, plain, refuse_other_settings
from storage.state import StoreState
from storage.store_info import StoreInfo, decode_store_info, encode_store_info
from storage.writer import PartitionWriter

__all__ = ["ArraySpec", "DescriptorStore", "Failure", "read_block"]


class DescriptorStore(StoreState):
    """Descriptors of many images at any fsspec URL; see ``storage.layout`` for the files.

    Any number of machines may read and write one store at a time. What is in it: ``StoreState``.
    """

    def __init__(self, url: str, info: StoreInfo, *, there: bool = True) -> None:
        super().__init__(url)
        self.info = info
        self._there = there

    @classmethod
    def expect(
        cls,
        url: str,
        config: Mapping[str, Any],
        weights: Mapping[str, Any],
        versions: Mapping[str, Any],
    ) -> "DescriptorStore":
        """A store as these settings make it, whether or not it is there; nothing is written.

        Args:
            url: a local path or any fsspec URL.
            config: everything that the stored numbers depend on, as JSON values.
            weights: ``name`` and ``sha256`` of the model's weights.
            versions: of the libraries; recorded, never compared.

        Raises:
            StoreMismatchError: the store there was made with another config or other weights.
        """
        wanted = StoreInfo(FORMAT, plain(config), plain(weights), plain(versions))
        file = join(url, "store.json")
        try:
            found = decode_store_info(read_bytes(file), file)
        except FileNotFoundError:
            return cls(url, wanted, there=False)
        except NotADirectoryError as error:
            raise StorageError(f"{url}: a file is there. Give a folder for the store.") from error
        refuse_other_settings(url, found, wanted)
        return cls(url, found)

    @classmethod
    def create_or_open(
        cls,
        url: str,
        config: Mapping[str, Any],
        weights: Mapping[str, Any],
        versions: Mapping[str, Any],
    ) -> "DescriptorStore":
        """``expect`` a store and make it, where it is not there."""
        store = cls.expect(url, config, weights, versions)
        store.create()
        return store

    def create(self) -> None:
        """Write what this store is made with, unless that is there.

        Raises:
            StoreMismatchError: another run was first, with another config or other weights.
        """
        file = join(self.url, "store.json")
        if self._there or create_exclusively(file, encode_store_info(self.info)):
            return
        found = decode_store_info(read_bytes(file), file)
        refuse_other_settings(self.url, found, self.info)
        self.info = found

    @classmethod
    def open(cls, url: str) -> "DescriptorStore":
        """Open a store.

        Raises:
            StorageError: there is none.
        """
        file = join(url, "store.json")
        try:
            data = read_bytes(file)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StorageError(
                f"{url}: no store here (store.json is missing). Give the folder that "
                "`patchflow extract IMAGES STORE` wrote."
            ) from error
        return cls(url, decode_store_info(data, file))

    @property
    def config_digest(self) -> str:
        """Digest of the config and weights; part of every partition's id."""
        return digest(encode(ordered(self.info.config)), encode(ordered(self.info.weights)))

    # --- reading -------------------------------------------------------------------------

    def read(self, name: str, array: str = "descriptors", *, raw: bool = False) -> NDArray[Any]:
        """One array of one image, e.g. descriptors: (rows, cols, D).

        Args:
            name: of the image.
            array: ``descriptors``, ``saliency``, ``cls`` and whatever else was stored.
            raw: integers as stored, instead of their values as float32.
        """
        image, partition = self.locate(name)
        try:
            block = read_block(self.url, partition, array, [image.position], raw=raw)
        except StoreCorruptError:
            # `compact` and `gc` may have moved it since this index was read.
            self.refresh()
            moved, partition = self.locate(name)
            if moved.partition == image.partition:
                raise
            block = read_block(self.url, partition, array, [moved.position], raw=raw)
        values: NDArray[Any] = block[0]
        return values

    def read_partition(
        self,
        partition_id: str,
        array: str = "descriptors",
        *,
        rows: Sequence[int] | None = None,
        raw: bool = False,
    ) -> NDArray[Any]:
        """(image, ...): rows of a partition, by default those of its living images in order."""
        partition = self.partition(partition_id)
        if rows is None:
            rows = [image.position for image in self.members()[partition_id]]
        return read_block(self.url, partition, array, rows, raw=raw)

    def array(self, partition_id: str, name: str = "descriptors") -> zarr.Array[Any]:
        """The zarr array itself: (image, ...), all rows, as stored."""
        return open_array(self.url, self.partition(partition_id), name)

    def iterate(
        self, array: str = "descriptors", *, raw: bool = False
    ) -> Iterator[tuple[StoredImage, NDArray[Any]]]:
        """Every living image with one of its arrays, partition by partition."""
        for partition_id, images in self.members().items():
            block = self.read_partition(
                partition_id, array, rows=[image.position for image in images], raw=raw
            )
            yield from zip(images, block, strict=True)

    def dask_array(self, array: str = "descriptors") -> Any:
        """(total patches, D) dask array, one block a partition; ``storage.lazy`` has the rows."""
        from storage.lazy import dask_patches

        return dask_patches(self, array).array

    # --- writing -------------------------------------------------------------------------

    def begin(self, partition: Partition, arrays: Sequence[ArraySpec]) -> PartitionWriter:
        """Start to write a planned partition under a folder of its own."""
        return PartitionWriter(self.url, partition, arrays)

    def committed(self, partition_id: str) -> Commit | None:
        """The commit of a partition as the store has it now, for a run that may have lost a race.

        Cheaper than ``refresh``: one request.
        """
        file = join(self.url, "commits", f"{partition_id}.json")
        try:
            return Commit.decode(read_bytes(file), file)
        except FileNotFoundError:
            return None

    def record_failures(self, failures: Sequence[Failure]) -> Commit | None:
        """Record images that failed before they could be planned, e.g. in their header."""
        heads = self._heads([failure.ref.name for failure in failures])
        marks = [failure_mark(failure, old) for failure, old in zip(failures, heads, strict=True)]
        commit = self._write_marks("failed", marks)
        if commit is not None:
            write_failures(self.url, commit.id, failures)
        return commit

    def mark_gone(self, names: Sequence[str]) -> Commit | None:
        """Record that images have left the source; their descriptors are no longer found."""
        return self._mark_stored(names, "gone", "not in the source any more")

    def drop(self, names: Sequence[str], reason: str) -> Commit | None:
        """Record that stored bytes of images are bad, so that the next run stores them again."""
        return self._mark_stored(names, "dropped", reason)

    def _mark_stored(self, names: Sequence[str], state: State, reason: str) -> Commit | None:
        marks = marks_of(self.state_of(names), names, state, reason, self.url)
        return self._write_marks(state, marks)

    def _write_marks(self, kind: str, marks: Sequence[Mark]) -> Commit | None:
        if not marks:
            return None
        return write_commit(self.url, marks_commit(self.config_digest, kind, marks))

    def _heads(self, names: Sequence[str]) -> list[tuple[str, ...]]:
        known = self.state_of(names)
        entries = [known.get(name) for name in names]
        return [() if entry is None else entry.heads for entry in entries]
