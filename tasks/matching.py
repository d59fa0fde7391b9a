"""Two described images compared: settings, grids and ops in one step."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from storage.descriptors import DescriptorStore
from storage.images import ImageRef
from tasks.config import ExtractConfig
from tasks.match_config import MOST_PAIRS, CorrespondConfig, MatchConfig
from tasks.model import resolve_device
from tasks.ops.alignment import LocalAlignment, fit_alignment
from tasks.ops.best_buddies import best_buddies, spread
from tasks.ops.nearest import Nearest, NearestScan, nearest_both_ways
from tasks.ops.patch_grid import PatchGrid
from tasks.ops.preprocess import to_image_size
from tasks.ops.similarity import both_ways_round, inner_products, patch_blocks, point_maps
from tasks.ops.transfer import (
    Located,
    Prior,
    grid_positions,
    lean,
    locate,
    locate_patches,
)
from tasks.stored import read_descriptors

# A mirrored source must agree with the target this much better: objects that are nearly
# symmetric would otherwise turn at random.
_CLEARLY = 1.5


@dataclass(frozen=True, slots=True)
class View:
    """One image to be matched.

    maps: (rows, cols, D) float32 on the device of the matching, facets joined. saliency:
    (rows, cols) float32 in [0, 1]. mirrored: columns run from right to left.
    """

    name: str
    ref: ImageRef
    grid: PatchGrid
    maps: Tensor
    saliency: np.ndarray
    mirrored: bool = False

    def mirror(self) -> "View":
        """The same descriptors with the columns in reverse: log-bins see a mirrored image."""
        return replace(
            self,
            maps=self.maps.flip(1),
            saliency=self.saliency[:, ::-1],
            mirrored=not self.mirrored,
        )

    def to_xy(self, row_col: np.ndarray) -> np.ndarray:
        """Positions (..., 2) on `maps` to original pixels (x, y)."""
        return self.grid.to_xy(self._turned(np.asarray(row_col, dtype=np.float64)))

    def to_row_col(self, xy: np.ndarray) -> np.ndarray:
        """Original pixels (..., 2) (x, y) to positions (row, col) on `maps`."""
        return self._turned(self.grid.to_row_col(xy))

    def _turned(self, row_col: np.ndarray) -> np.ndarray:
        if not self.mirrored:
            return row_col
        return np.stack([row_col[..., 0], self.grid.cols - 1 - row_col[..., 1]], axis=-1)


class Comparison(NamedTuple):
    """Two views, the source the right way round, and what their neighbours agree on."""

    source: View
    target: View
    nearest: Nearest
    alignment: LocalAlignment | None

    @property
    def views(self) -> tuple[View, View]:
        """Source and target as they are stored, the source not mirrored."""
        return self.source.mirror() if self.source.mirrored else self.source, self.target


class Matches(NamedTuple):
    """P correspondences: source_xy, target_xy (P, 2) in original pixels; similarity, saliency (P,).

    buddies: how many salient mutual nearest neighbours there were to choose from.
    """

    source_xy: np.ndarray
    target_xy: np.ndarray
    similarity: np.ndarray
    saliency: np.ndarray
    buddies: int


class Points(NamedTuple):
    """P transferred points: xy (P, 2) in original pixels; similarity, confidence (P,)."""

    xy: np.ndarray
    similarity: np.ndarray
    confidence: np.ndarray


def views_of(store: DescriptorStore, names: list[str], config: ExtractConfig) -> Iterator[View]:
    """The stored images `names` in that order, every facet of unit length, then joined.

    Raises:
        KeyError: a name that the store does not hold.
    """
    device = resolve_device(config.device)
    for name in names:
        image = next(read_descriptors(store, [name]))
        facets = [torch.from_numpy(image.descriptors)] + [
            torch.from_numpy(store.read(name, array).astype(np.float32))
            for array in list(config.arrays)[1:]
        ]
        maps = join_facets([facet.to(device) for facet in facets])
        yield View(name, image.ref, image.grid, maps, image.saliency)


def join_facets(facets: list[Tensor]) -> Tensor:
    """Maps (rows, cols, D_i), each scaled to unit length, concatenated along D."""
    return torch.cat([F.normalize(facet.float(), dim=-1) for facet in facets], dim=-1)


def compare(source: View, target: View, config: MatchConfig) -> Comparison:
    """Nearest neighbours both ways and, where wanted, the alignment and the way round."""
    if not (config.align and config.mirror):
        blocks = patch_blocks(source.maps, target.maps, config.hierarchy)
        return _aligned(source, target, nearest_both_ways(blocks), config)
    scans = NearestScan(), NearestScan()
    for blocks_of in both_ways_round(source.maps, target.maps, config.hierarchy):
        for scan, block in zip(scans, blocks_of, strict=True):
            scan.add(block)
    plain, turned = (
        _aligned(view, target, scan.result(), config)
        for view, scan in zip((source, source.mirror()), scans, strict=True)
    )
    return turned if _agreement(turned) > _CLEARLY * _agreement(plain) else plain


def find_matches(found: Comparison, config: CorrespondConfig) -> Matches:
    """Amir et al. 2021, section 4.3: salient best buddies, spread by k-means."""
    source, target = found.source, found.target
    buddies = best_buddies(
        found.nearest, source.saliency, target.saliency, threshold=config.threshold
    )
    # Of more buddies, evenly chosen ones are spread: a fine grid's are near duplicates.
    count = len(buddies.source)
    some = buddies.take(np.linspace(0, count - 1, min(count, MOST_PAIRS)).round().astype(int))
    products = torch.zeros((len(some.source),) * 2, device=target.maps.device)
    for view, patches in ((source, some.source), (target, some.target)):
        index = torch.from_numpy(patches).to(view.maps.device)
        products += inner_products(view.maps, index, config.hierarchy)
    kept = spread(some, products.cpu().numpy(), config.pairs, seed=config.seed)
    return Matches(
        source.to_xy(grid_positions(kept.source, source.grid.cols)),
        target.to_xy(grid_positions(kept.target, target.grid.cols)),
        kept.similarity,
        kept.saliency,
        len(buddies.source),
    )


def transfer_points(found: Comparison, xy: np.ndarray, config: MatchConfig) -> Points:
    """Where the points `xy` (P, 2) of the source, in original pixels, lie in the target."""
    source, target = found.source, found.target
    row_col = torch.from_numpy(np.ascontiguousarray(source.to_row_col(xy))).to(source.maps)
    maps = point_maps(source.maps, target.maps, row_col, config.hierarchy)
    maps -= _penalty(found, config).view(target.grid.shape)
    if found.alignment is not None:
        maps = lean(maps, row_col, found.alignment, _prior(target, config))
    return _points(target, locate(maps, window=config.window, temperature=config.temperature))


def dense_flow(found: Comparison, config: MatchConfig) -> np.ndarray:
    """Where every source pixel lies in the target: (H, W, 2) float32 original pixels (x, y).

    Found patch by patch, bilinear between patch centres.
    """
    source, target = found.source, found.target
    located = locate_patches(
        patch_blocks(source.maps, target.maps, config.hierarchy),
        source.grid.shape,
        target.grid.shape,
        window=config.window,
        temperature=config.temperature,
        penalty=_penalty(found, config),
        alignment=found.alignment,
        prior=_prior(target, config),
    )
    xy = _points(target, located).xy.reshape(*source.grid.shape, 2)
    # Displacements, not positions, are smooth enough to be extended to the image's border.
    steps = xy - source.to_xy(np.moveaxis(np.mgrid[: source.grid.rows, : source.grid.cols], 0, -1))
    if source.mirrored:
        steps = steps[:, ::-1]
    width, height = source.grid.image
    pixels = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1)
    return np.asarray(pixels + to_image_size(steps, source.grid), dtype=np.float32)


def _aligned(source: View, target: View, nearest: Nearest, config: MatchConfig) -> Comparison:
    alignment = _align(source, target, nearest, config) if config.align else None
    return Comparison(source, target, nearest, alignment)


def _align(
    source: View, target: View, nearest: Nearest, config: MatchConfig
) -> LocalAlignment | None:
    buddies = best_buddies(nearest)
    places = grid_positions(buddies.source, source.grid.cols)
    found = grid_positions(buddies.target, target.grid.cols)
    weights = buddies.similarity.clip(0)
    tolerance = config.tolerance * max(target.grid.shape)
    whole = fit_alignment(places, found, weights, tolerance=tolerance, seed=config.seed)
    if whole is None:
        return None
    width = config.bend * max(source.grid.shape)
    return LocalAlignment(whole, places, found, weights, tolerance, width)


def _agreement(found: Comparison) -> float:
    """Weight of the mutual neighbours that support the alignment."""
    if found.alignment is None:
        return 0.0
    weights = best_buddies(found.nearest).similarity.clip(0)
    return found.alignment.whole.support * float(weights.sum())


def _penalty(found: Comparison, config: MatchConfig) -> Tensor:
    return config.hubness * found.nearest.back_similarity


def _prior(target: View, config: MatchConfig) -> Prior:
    return Prior(config.strength, config.reach * max(target.grid.shape))


def _points(target: View, located: Located) -> Points:
    row_col, similarity, confidence = (values.cpu().numpy() for values in located)
    return Points(target.to_xy(row_col), similarity, confidence)
