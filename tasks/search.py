"""Search tasks: describe the query, scan a store through Dask."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import dask
import numpy as np
import torch
from prefect import task

from storage.bases import read_basis
from storage.descriptors import DescriptorStore, read_block
from storage.images import list_images, read_image
from storage.index import PartitionInfo, StoredImage
from storage.reader import SCALE_SUFFIX
from storage.writer import shard_images
from tasks.config import ExtractConfig
from tasks.describe import describe
from tasks.faults import STORAGE_RETRIES
from tasks.model import resolve_device
from tasks.ops.log_bin import bins_at
from tasks.ops.pca import project
from tasks.ops.search import NO_HITS, Hits, merge_hits, nearest_rows
from tasks.stored import stored_grid

_SCALE = "descriptors" + SCALE_SUFFIX


@dataclass(frozen=True, slots=True)
class Found:
    """One patch. x, y: its centre in original pixels."""

    image: str
    x: float
    y: float
    similarity: float


@dataclass(frozen=True, slots=True)
class SearchReport:
    """What was found, most similar first. patches: scanned. missing: (name, reason) of crops."""

    patches: int
    hits: tuple[Found, ...]
    missing: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Span:
    """Images of one partition that are scanned together, in whole shards where they can be.

    positions: their rows in the partition. first: the number of each one's first patch.
    """

    partition: PartitionInfo
    positions: tuple[int, ...]
    first: tuple[int, ...]


@task(name="search-store", tags=["patchflow-search"], **STORAGE_RETRIES)
def search_store(
    store: str,
    image: str,
    point: tuple[float, float],
    hits: int,
    *,
    every_patch: bool = False,
    device: str = "auto",
) -> SearchReport:
    """The patches of a whole store that are nearest to the one at `point` (x, y) of `image`.

    Args, raises: of `search_patches`; also ValueError for a point outside the image.
    """
    opened = DescriptorStore.open(store)
    query = describe_point(image, point, opened, device)
    return search_patches(opened, query, hits, every_patch=every_patch, device=device)


def search_patches(
    store: DescriptorStore,
    query: np.ndarray,
    hits: int,
    *,
    every_patch: bool = False,
    device: str = "cpu",
) -> SearchReport:
    """The nearest patches of a whole store, exactly: as if all were compared in float64.

    Args:
        query: (D,) descriptor, along the store's principal axes where it has any.
        hits: how many, at least 1. every_patch: rank all patches, not only each image's best.
        device: auto, cpu or cuda, of the processes that scan; what is found is the same.

    Raises:
        ValueError: an empty store, no hits wanted, or a query of other channels.
    """
    if hits < 1:
        raise ValueError(f"expected at least 1 hit to be wanted; got --hits {hits}")
    images = [member for members in store.index().members().values() for member in members]
    if not images:
        raise ValueError(f"{store.url}: the store holds no image to search")
    starts = np.cumsum([0, *(rows * cols for rows, cols in (i.grid for i in images))])
    of_image = hits if every_patch else 1
    spans = _spans(store, starts)
    parts = [dask.delayed(_scan)(store.url, span, query, of_image, hits, device) for span in spans]
    best = merge_hits(dask.compute(*parts), hits)
    found = [_place(store, images, starts, *hit) for hit in zip(*best, strict=True)]
    return SearchReport(int(starts[-1]), tuple(found))


def _spans(store: DescriptorStore, starts: np.ndarray) -> Iterator[_Span]:
    """All images in the order of their patches' numbers."""
    number = 0
    members = store.index().members()
    for partition in store.partitions():
        specs = {spec.name: spec for spec in partition.arrays}
        step = shard_images(specs["descriptors"], partition.count)
        living = [image.position for image in members[partition.id]]
        for _, group in groupby(living, partial(_shard_of, step)):
            positions = tuple(group)
            first = tuple(starts[number : number + len(positions)].tolist())
            number += len(positions)
            yield _Span(partition, positions, first)


def _shard_of(images: int, position: int) -> int:
    return position // images


def _scan(url: str, span: _Span, query: np.ndarray, of_image: int, hits: int, device: str) -> Hits:
    """The best of one span; runs on a Dask worker."""
    low, high = span.positions[0], span.positions[-1] + 1
    rows = slice(low, high)  # a slice reads a shard whole, single rows image by image
    values = read_block(url, span.partition, "descriptors", rows, raw=True)
    scaled = any(spec.name == _SCALE for spec in span.partition.arrays)
    scales = read_block(url, span.partition, _SCALE, rows) if scaled else None
    best, device = NO_HITS, resolve_device(device)
    for position, first in zip(span.positions, span.first, strict=True):
        found = nearest_rows(
            query,
            values[position - low].reshape(-1, values.shape[-1]),
            of_image,
            scale=None if scales is None else scales[position - low],
            first=first,
            floor=float(best.similarity[-1]) if len(best.row) == hits else -2.0,
            device=device,
        )
        best = merge_hits([best, found], hits)
    return best


def describe_point(
    image: str, point: tuple[float, float], store: DescriptorStore, device: str = "auto"
) -> np.ndarray:
    """Descriptor (D,) at `point`, with the store's own settings, bilinear between patches."""
    fields = set(ExtractConfig.model_fields)
    config = ExtractConfig(**{k: v for k, v in store.info.config.items() if k in fields})
    config = config.replace(device=device)
    (ref, *others) = list_images(image)
    if others:
        raise ValueError(f"expected one image to search for; {image} stands for {1 + len(others)}")
    pixels = read_image(ref)
    height, width = pixels.shape[:2]
    if not (0 <= point[0] <= width and 0 <= point[1] <= height):
        raise ValueError(
            f"the point {point[0]},{point[1]} lies outside {ref.name}, which has {width}x{height} "
            "pixels; give it as X,Y"
        )
    (described,) = describe([pixels], config)
    maps = np.asarray(described.arrays["descriptors"], dtype=np.float32)
    basis = read_basis(store.url)
    if basis is not None:
        maps = project(maps, basis.axes)
    row_col = torch.from_numpy(described.grid.to_row_col(np.array([point])).copy())
    return np.asarray(bins_at([torch.from_numpy(maps)], row_col)[0][0, 4])


def _place(
    store: DescriptorStore,
    images: Sequence[StoredImage],
    starts: np.ndarray,
    row: int,
    similarity: float,
) -> Found:
    number = int(np.searchsorted(starts, row, side="right")) - 1
    image = images[number]
    grid = stored_grid(store.info.config, image)
    position = np.array(divmod(int(row) - int(starts[number]), grid.cols))
    x, y = grid.to_xy(position).round(2).tolist()
    return Found(image.name, x, y, round(float(similarity), 5))
