"""Descriptors as the capabilities want them: an image's arrays with the geometry of its grid."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from prefect import task

from storage.containers import Listings
from storage.descriptors import DescriptorStore
from storage.images import ImageRef, list_images
from storage.index import StoredImage
from tasks.chosen import chosen_names
from tasks.faults import STORAGE_RETRIES
from tasks.ops.patch_grid import PatchGrid, plan_grid
from tasks.sets import ImageSet, group_sets


@dataclass(frozen=True, slots=True)
class ImageDescriptors:
    """One stored image.

    grid: geometry of its patches. descriptors: (rows, cols, D) float32, raw. saliency:
    (rows, cols) float32 in [0, 1]. cls: (D,) float32, None for models without a CLS token.
    heads: (h, rows, cols) float32, each head's CLS attention, None where they are not stored.
    """

    name: str
    ref: ImageRef
    grid: PatchGrid
    descriptors: np.ndarray
    saliency: np.ndarray
    cls: np.ndarray | None
    heads: np.ndarray | None = None


def read_descriptors(
    store: DescriptorStore, names: Iterable[str], array: str = "descriptors"
) -> Iterator[ImageDescriptors]:
    """The stored images `names`, in that order, one at a time.

    Raises:
        KeyError: a name that the store does not hold. StoreCorruptError: damaged bytes.
    """
    for name in names:
        image = store.find(name)
        arrays = {spec.name for spec in store.index().partitions[image.partition].arrays}
        yield ImageDescriptors(
            name=name,
            ref=source_of(image),
            grid=stored_grid(store.info.config, image),
            descriptors=store.read(name, array).astype(np.float32),
            saliency=store.read(name, "saliency").astype(np.float32),
            cls=store.read(name, "cls").astype(np.float32) if "cls" in arrays else None,
            heads=store.read(name, "heads").astype(np.float32) if "heads" in arrays else None,
        )


def source_of(image: StoredImage) -> ImageRef:
    """Where the picture itself lies."""
    return ImageRef(image.name, image.url, image.bytes, image.version)


def stored_grid(config: Mapping[str, Any], image: StoredImage) -> PatchGrid:
    """Geometry of a stored image's patches, from the store's own provenance."""
    stride = int(config["stride"])
    return plan_grid(
        image.width,
        image.height,
        patch=int(config["patch"]),
        stride=(stride, int(config["stride_x"] or stride)),
        size=int(config["size"]),
        fit=config["fit"],
        multiple=config["multiple"],
    )


def stored_names(store: str) -> frozenset[str]:
    """Names of the images that a store holds."""
    return frozenset(DescriptorStore.open(store).index())


def stored_weights(store: str) -> dict[str, str]:
    """Name and sha256 of the weights that a store was made with."""
    return dict(DescriptorStore.open(store).info.weights)


@task(name="group-sets", task_run_name="sets of {source}", **STORAGE_RETRIES)
def stored_sets(source: str, store: str, only: tuple[str, ...] | None = None) -> list[ImageSet]:
    """The source's images (or `only` those named) that the store holds, by folder."""
    index = DescriptorStore.open(store).index()
    found = [] if only is not None else list_images(source, Listings(store))
    listed = [i.name for i in found] if only is None else chosen_names(only)
    return group_sets([name for name in listed if name in index], source)
