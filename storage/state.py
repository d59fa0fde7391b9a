"""What a store holds, read as far as it is asked for."""

import difflib
from collections.abc import Sequence
from typing import Any

from storage.commits import load_around, load_state
from storage.index import EMPTY, MarkedImage, PartitionInfo, StoredImage, StoreIndex
from storage.survey import Listing, Survey, survey

__all__ = ["StoreState"]

# Single look-ups before the whole index is read, which later ones find in memory.
_FEW_LOOKUPS = 4


class StoreState:
    """The state of the store at a URL.

    What ``index`` returns is the state when it was first asked for; ``refresh`` looks again.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._index: StoreIndex | None = None
        self._members: dict[str, list[StoredImage]] | None = None
        self._lookups = 0

    def index(self) -> StoreIndex:
        """The state of the store, read once."""
        if self._index is None:
            self._index = load_state(self.url)
        return self._index

    def refresh(self) -> StoreIndex:
        """The state of the store now; only what is new is read."""
        self._index, self._members = load_state(self.url, self._index), None
        return self._index

    def survey(self, listing: Listing, *, retry_failures: bool = False) -> Survey:
        """Compare a source with the store as it is now; see ``storage.survey``."""
        return survey(self.url, listing, retry_failures=retry_failures)

    def find(self, name: str) -> StoredImage:
        """Where one image is.

        Raises:
            KeyError: the store does not hold it; the message says why, or names near ones.
        """
        return self.locate(name)[0]

    def locate(self, name: str) -> tuple[StoredImage, PartitionInfo]:
        """``find``, and the partition that it lies in."""
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

    def members(self) -> dict[str, list[StoredImage]]:
        """Living images of every partition, in the order of their rows; worked out once."""
        if self._members is None:
            self._members = self.index().members()
        return self._members

    def partitions(self) -> tuple[PartitionInfo, ...]:
        """Partitions with living images, by id."""
        return tuple(self.index().partitions.values())

    def partition(self, partition_id: str) -> PartitionInfo:
        """One of the partitions.

        Raises:
            KeyError: it is not committed, or holds no living image.
        """
        try:
            return self.index().partitions[partition_id]
        except KeyError:
            raise KeyError(f"{self.url}: no committed partition {partition_id!r}.") from None

    def state_of(self, names: Sequence[str]) -> StoreIndex:
        """The state as far as it concerns some names."""
        if self._index is not None:
            return self._index
        if not names:
            return EMPTY
        return load_state(self.url, keep=frozenset(names).__contains__)


def _absent(url: str, name: str, entry: MarkedImage | Any | None, index: StoreIndex) -> str:
    if entry is not None:
        return f"{url}: {name!r} is not stored ({entry.state}: {entry.reason})."
    near = difflib.get_close_matches(name, list(index.images)[:10_000], n=3, cutoff=0.5)
    hint = f" Near ones: {', '.join(near)}." if near else ""
    return f"{url}: holds no image {name!r}.{hint} It holds {len(index)} images."
