"""A descriptor store as a dataset of torch, for a DataLoader."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from storage.descriptors import DescriptorStore
from tasks.ops.log_bin import log_bin

__all__ = ["DescriptorDataset", "Sample"]


class Sample(NamedTuple):
    """One image.

    name: of the image. descriptors: (rows, cols, D) float32. saliency: (rows, cols) float32 in
    [0, 1], zeros where none is stored. size: (width, height) of the original image in pixels.
    """

    name: str
    descriptors: Tensor
    saliency: Tensor
    size: tuple[int, int]


class DescriptorDataset(Dataset[Sample]):
    """The images of a store in the order of their names, or of `names`.

    Grids differ between images of different shapes: use ``batch_size=None`` or a collate
    function of your own. A store in a bucket needs workers that are spawned or forkserved
    (``multiprocessing_context="spawn"``): its client does not survive a fork.

    Args:
        url: of the store.
        names: which images; by default all.
        array: which facet.
        normalise: whether descriptors get length 1 (after the bins).
        hierarchy: levels of log-bins that are derived while reading, 0 for none; D becomes
            (1 + 8 x hierarchy) x D.
    """

    def __init__(
        self,
        url: str,
        names: list[str] | None = None,
        *,
        array: str = "descriptors",
        normalise: bool = False,
        hierarchy: int = 0,
    ) -> None:
        self.url, self.array = url, array
        self.normalise, self.hierarchy = normalise, hierarchy
        store = DescriptorStore.open(url)
        known = list(store.index())
        missing = sorted(set(names or ()) - set(known))
        if missing:
            raise KeyError(f"{url}: holds no image {missing[0]!r} ({len(missing)} are missing).")
        self.names = known if names is None else list(names)
        self._store: DescriptorStore | None = store

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> Sample:
        store = self._opened()
        image = store.find(self.names[number])
        values = torch.from_numpy(store.read(image.name, self.array).astype(np.float32))
        if self.hierarchy:
            values = torch.as_tensor(log_bin(values, self.hierarchy))
        if self.normalise:
            values = F.normalize(values, dim=-1)
        arrays = {spec.name for spec in store.index().partitions[image.partition].arrays}
        saliency = (
            torch.from_numpy(store.read(image.name, "saliency").astype(np.float32))
            if "saliency" in arrays
            else torch.zeros(image.grid)
        )
        return Sample(image.name, values, saliency, (image.width, image.height))

    def __getstate__(self) -> dict[str, object]:
        """Without the open store: each worker opens its own."""
        return self.__dict__ | {"_store": None}

    def _opened(self) -> DescriptorStore:
        if self._store is None:
            self._store = DescriptorStore.open(self.url)
            self._store.index()
        return self._store
