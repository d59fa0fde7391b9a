"""The descriptor store: immutable partitions that count once they are committed."""

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import zarr
from numpy.typing import NDArray

from storage.commits import load_around, load_state
from storage.errors import StorageError, StoreCorruptError, StoreMismatchError
from storage.files import create_exclusively, join, read_bytes
from storage.index import MarkedImage, PartitionInfo, StoredImage, StoreIndex
from storage.layout import (
    FORMAT,
    ArraySpec,
    Commit,
    Mark,
    StoreInfo,
    decode_store_info,
    digest,
    encode,
    encode_store_info,
    new_attempt,
)
from storage.planning import Partition
from storage.reader import SCALE_SUFFIX, decode_scaled, open_array, read_rows
from storage.writer import (
    Failure,
    PartitionWriter,
    failure_mark,
    write_commit,
    write_failures,
)

__all__ = ["ArraySpec", "DescriptorStore", "Failure"]


# Single look-ups before the whole index is read, which later ones find in memory.
_FEW_LOOKUPS = 4


class DescriptorStore:
    """Descriptors of many images at any fsspec URL; see ``storage.layout`` for the files.

    Any number of machines may read and write one store at a time. What ``index`` returns is the
    state when it was first asked for; ``refresh`` looks again.
    """

    def __init__(self, url: str, info: StoreInfo) -> None:
        self.url = url
        self.info = info
        self._index: StoreIndex | None = None
        self._lookups = 0

    @classmethod
    def create_or_open(
        cls,
        url: str,
        config: Mapping[str, Any],
        weights: Mapping[str, Any],
        versions: Mapping[str, Any],
    ) -> "DescriptorStore":
        """Open a store that was made with these settings, or make it.

        Args:
            url: a local path or any fsspec URL.
            config: everything that the stored numbers depend on, as JSON values.
            weights: ``name`` and ``sha256`` of the model's weights.
            versions: of the libraries; recorded, never compared.

        Raises:
            StoreMismatchError: the store there was made with another config or other weights.
        """
        info = StoreInfo(FORMAT, _plain(config), _plain(weights), _plain(versions))
        file = join(url, "store.json")
        data = encode_store_info(info)
        try:
            standing = read_bytes(file)
        except FileNotFoundError:
            if create_exclusively(file, data):
                return cls(url, info)
            standing = read_bytes(file)
        found = decode_store_info(standing, file)
        _refuse_other_settings(url, found, info)
        return cls(url, found)

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
        return digest(encode(_sorted(self.info.config)), encode(_sorted(self.info.weights)))

    # --- what is in it -------------------------------------------------------------------

    def index(self) -> StoreIndex:
        """The state of the store, read once."""
        if self._index is None:
            self._index = load_state(self.url)
        return self._index

    def refresh(self) -> StoreIndex:
        """The state of the store now; only what is new is read."""
        self._index = load_state(self.url, self._index)
        return self._index

    def find(self, name: str) -> StoredImage:
        """Where one image is.

        Raises:
            KeyError: the store does not hold it; the message says why, or names near ones.
        """
        return self._locate(name)[0]

    def _locate(self, name: str) -> tuple[StoredImage, PartitionInfo]:
        if self._index is None and self._lookups < _FEW_LOOKUPS:
            # One image of a million must not cost the reading of a million records.
            self._lookups += 1
            state = load_around(self.url, name)
        else:
            state = self.index()
        entry = state.get(name)
        if isinstance(entry, StoredImage):
            return entry, state.partitions[entry.partition]
        raise KeyError(_absent(self.url, name, entry, self.index()))

    def partitions(self) -> tuple[PartitionInfo, ...]:
        """Partitions with living images, by id."""
        return tuple(self.index().partitions.values())

    # --- reading -------------------------------------------------------------------------

    def read(self, name: str, array: str = "descriptors", *, raw: bool = False) -> NDArray[Any]:
        """One array of one image, e.g. descriptors: (rows, cols, D).

        Args:
            name: of the image.
            array: ``descriptors``, ``saliency``, ``cls`` and whatever else was stored.
            raw: integers as stored, instead of their values as float32.
        """
        image, partition = self._locate(name)
        try:
            block = read_block(self.url, partition, array, [image.position], raw=raw)
        except StoreCorruptError:
            # `compact` and `gc` may have moved it since this index was read.
            self.refresh()
            moved, partition = self._locate(name)
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
        partition = self._partition(partition_id)
        if rows is None:
            rows = [image.position for image in self.index().members()[partition_id]]
        return read_block(self.url, partition, array, rows, raw=raw)

    def array(self, partition_id: str, name: str = "descriptors") -> zarr.Array[Any]:
        """The zarr array itself: (image, ...), all rows, as stored."""
        return open_array(self.url, self._partition(partition_id), name)

    def iterate(
        self, array: str = "descriptors", *, raw: bool = False
    ) -> Iterator[tuple[StoredImage, NDArray[Any]]]:
        """Every living image with one of its arrays, partition by partition."""
        for partition_id, images in self.index().members().items():
            block = self.read_partition(
                partition_id, array, rows=[image.position for image in images], raw=raw
            )
            yield from zip(images, block, strict=True)

    def dask_array(self, array: str = "descriptors") -> Any:
        """(total patches, D) dask array, one block a partition; ``storage.lazy`` has the rows."""
        from storage.lazy import dask_patches

        return dask_patches(self, array).array

    def _partition(self, partition_id: str) -> PartitionInfo:
        try:
            return self.index().partitions[partition_id]
        except KeyError:
            raise KeyError(f"{self.url}: no committed partition {partition_id!r}.") from None

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

    def _mark_stored(self, names: Sequence[str], state: Any, reason: str) -> Commit | None:
        index = self.index()
        marks: list[Mark] = []
        for name in sorted(names):
            entry = index.get(name)
            if entry is None:
                raise KeyError(f"{self.url}: holds no image {name!r}.")
            marks.append(Mark(name, entry.url, entry.version, state, reason, entry.heads))
        return self._write_marks(state, marks)

    def _write_marks(self, kind: str, marks: Sequence[Mark]) -> Commit | None:
        if not marks:
            return None
        rows = sorted((mark.name, mark.version, mark.supersedes) for mark in marks)
        key = digest(self.config_digest.encode(), kind.encode(), encode(rows))
        commit = Commit(key, new_attempt(), (0, 0), (), (), tuple(marks))
        return write_commit(self.url, commit)

    def _heads(self, names: Sequence[str]) -> list[tuple[str, ...]]:
        entries = [self.index().get(name) for name in names]
        return [() if entry is None else entry.heads for entry in entries]


def read_block(
    url: str,
    partition: PartitionInfo,
    name: str,
    rows: Sequence[int] | slice,
    *,
    raw: bool = False,
) -> NDArray[Any]:
    """Rows of one array of a partition; scaled integers as their float32 values."""
    block = read_rows(open_array(url, partition, name), partition, rows)
    scale = name + SCALE_SUFFIX
    if raw or all(spec.name != scale for spec in partition.arrays):
        return block
    return decode_scaled(block, read_rows(open_array(url, partition, scale), partition, rows))


def _absent(url: str, name: str, entry: MarkedImage | Any | None, index: StoreIndex) -> str:
    if entry is not None:
        return f"{url}: {name!r} is not stored ({entry.state}: {entry.reason})."
    near = difflib.get_close_matches(name, list(index.images)[:10_000], n=3, cutoff=0.5)
    hint = f" Near ones: {', '.join(near)}." if near else ""
    return f"{url}: holds no image {name!r}.{hint} It holds {len(index)} images."


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON makes of a mapping, so that tuples and lists compare equal."""
    plain: dict[str, Any] = json.loads(json.dumps(value))
    return plain


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return value


def _refuse_other_settings(url: str, found: StoreInfo, wanted: StoreInfo) -> None:
    for part in ("config", "weights"):
        difference = _first_difference(getattr(found, part), getattr(wanted, part), part)
        if difference:
            field, old, new = difference
            raise StoreMismatchError(
                f"{url} was made with {field} = {old}, this run has {field} = {new}. "
                f"Use {old}, or write to another store: one store holds one kind of descriptor."
            )


def _first_difference(old: Any, new: Any, path: str) -> tuple[str, str, str] | None:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if old.get(key) is None and new.get(key) is None:
                continue  # a setting that came later, unset, is what stores before it meant
            if key not in old or key not in new:
                shown = [json.dumps(side[key]) if key in side else "nothing" for side in (old, new)]
                return f"{path}.{key}", shown[0], shown[1]
            difference = _first_difference(old[key], new[key], f"{path}.{key}")
            if difference:
                return difference
        return None
    return None if old == new else (path, json.dumps(old), json.dumps(new))
