"""Search tasks: describe the query, scan a store through Dask, write what was found."""

import bisect
from dataclasses import dataclass
from typing import Any

import dask
import numpy as np
import torch
from prefect import task

from storage.descriptors import DescriptorStore
from storage.files import join
from storage.images import list_images, read_image
from storage.lazy import dask_patches
from storage.results import write_csv, write_rgb
from tasks.config import ExtractConfig
from tasks.describe import describe
from tasks.faults import STORAGE_RETRIES
from tasks.ops.draw_layout import contact_sheet
from tasks.ops.log_bin import bins_at
from tasks.ops.search import Hits, best_of_groups, cosines, merge_hits, top_k
from tasks.stored import source_of, stored_grid

COLUMNS = ("rank", "image", "x", "y", "similarity")
_SHEET = 24  # crops on the contact sheet


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


@task(name="search-store", tags=["patchflow-search"], **STORAGE_RETRIES)
def search_store(
    store: str, image: str, point: tuple[float, float], hits: int, *, every_patch: bool = False
) -> SearchReport:
    """The patches of a whole store that are nearest to the one at `point` (x, y) of `image`.

    Args:
        hits: how many. every_patch: rank all patches, not only the best of each image.

    Raises:
        ValueError: a point outside the image, or a store of several images' worth of settings
            that the query cannot be described with.
    """
    opened = DescriptorStore.open(store)
    query = describe_point(image, point, opened)
    patches = dask_patches(opened)
    names = sorted(patches.ranges, key=lambda name: patches.ranges[name][0])
    starts = np.array([patches.ranges[name][0] for name in names])
    parts: list[Any] = []
    first = 0
    for block in patches.array.to_delayed().ravel():
        size = int(patches.array.chunks[0][len(parts)])
        inside = starts[(starts >= first) & (starts < first + size)] - first
        groups = None if every_patch else inside
        parts.append(dask.delayed(_scan)(block, query, groups, hits, first))
        first += size
    best = merge_hits(dask.compute(*parts), hits)
    found = [_place(opened, names, starts, row, s) for row, s in zip(*best, strict=True)]
    return SearchReport(first, tuple(found))


def describe_point(image: str, point: tuple[float, float], store: DescriptorStore) -> np.ndarray:
    """Descriptor (D,) at `point`, with the store's own settings, bilinear between patches."""
    fields = ExtractConfig.model_fields
    config = ExtractConfig(**{k: v for k, v in store.info.config.items() if k in fields})
    (ref, *_) = list_images(image)
    pixels = read_image(ref)
    height, width = pixels.shape[:2]
    if not (0 <= point[0] <= width and 0 <= point[1] <= height):
        raise ValueError(
            f"the point {point[0]},{point[1]} lies outside {ref.name}, which has {width}x{height} "
            "pixels; give it as X,Y"
        )
    (described,) = describe([pixels], config)
    maps = torch.from_numpy(np.asarray(described.arrays["descriptors"], dtype=np.float32))
    row_col = torch.from_numpy(described.grid.to_row_col(np.array([point])).copy())
    return np.asarray(bins_at([maps], row_col)[0][0, 4])


@task(name="write-hits", **STORAGE_RETRIES)
def write_hits(store: str, report: SearchReport, out: str) -> SearchReport:
    """Write hits.csv, and hits.png with a crop around each of the first hits."""
    rows = [(i, f.image, f.x, f.y, f.similarity) for i, f in enumerate(report.hits, start=1)]
    write_csv(join(out, "hits.csv"), COLUMNS, rows)
    opened = DescriptorStore.open(store)
    crops, captions, missing = [], [], []
    for rank, hit in enumerate(report.hits[:_SHEET], start=1):
        try:
            pixels = read_image(source_of(opened.find(hit.image)))
        except Exception as error:  # noqa: BLE001 - a picture that is gone costs its crop only
            missing.append((hit.image, str(error)))
            continue
        crops.append(crop_around(pixels, hit.x, hit.y))
        captions.append(f"{rank}: {hit.image.rpartition('/')[2]} {hit.similarity:.2f}")
    if crops:
        write_rgb(join(out, "hits.png"), contact_sheet(crops, captions=captions))
    return SearchReport(report.patches, report.hits, tuple(missing))


def crop_around(pixels: np.ndarray, x: float, y: float) -> np.ndarray:
    """A square of 40 % of the shorter side around (x, y), moved into the image, a cross in it."""
    height, width = pixels.shape[:2]
    side = max(1, round(0.4 * min(height, width)))
    left = int(np.clip(round(x - side / 2), 0, width - side))
    top = int(np.clip(round(y - side / 2), 0, height - side))
    crop = pixels[top : top + side, left : left + side].copy()
    row, col = int(np.clip(y - top, 0, side - 1)), int(np.clip(x - left, 0, side - 1))
    arm = max(2, side // 20)
    crop[row, max(col - arm, 0) : col + arm + 1] = (255, 40, 40)
    crop[max(row - arm, 0) : row + arm + 1, col] = (255, 40, 40)
    return crop


def _scan(
    block: np.ndarray, query: np.ndarray, groups: np.ndarray | None, hits: int, first: int
) -> Hits:
    """The best of one partition; runs on a Dask worker."""
    similarity = cosines(query, block)
    if groups is None:
        return top_k(similarity, hits, first)
    return best_of_groups(similarity, groups, hits, first)


def _place(
    store: DescriptorStore, names: list[str], starts: np.ndarray, row: int, similarity: float
) -> Found:
    number = bisect.bisect_right(starts.tolist(), int(row)) - 1
    grid = stored_grid(store.info.config, store.find(names[number]))
    position = np.array(divmod(int(row) - int(starts[number]), grid.cols))
    x, y = grid.to_xy(position).round(2).tolist()
    return Found(names[number], x, y, round(float(similarity), 5))
