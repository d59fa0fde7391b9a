"""Described images held in memory, with what a notebook asks of them: see `tasks.notebook`."""

from dataclasses import dataclass

import numpy as np
import torch

from storage.images import ImageRef
from tasks.config import CosegmentConfig, ExtractConfig
from tasks.describe import Described, model_of
from tasks.notebook_views import Gallery, Matches
from tasks.ops.best_buddies import best_buddies, spread
from tasks.ops.compose import ImageArray
from tasks.ops.draw import label_picture, mask_overlay, palette, scalar_picture
from tasks.ops.kinds import FacetRequest
from tasks.ops.kmeans import assign, kmeans
from tasks.ops.nearest import nearest_both_ways
from tasks.ops.patch_grid import unit
from tasks.ops.preprocess import to_batch, to_canvas, to_image_size
from tasks.ops.refine import refine
from tasks.ops.similarity import binned_cosine_blocks
from tasks.ops.vit import extract_facets
from tasks.report_pictures import ImageView, draw_image, set_look

CLUSTERED = CosegmentConfig()


@dataclass(frozen=True, slots=True, repr=False)
class DescribedImages:
    """Images with their descriptors.

    names: of the images. pixels: (H, W, 3) uint8 each. described: arrays and grid of each; the
    main descriptors are ``described[i].arrays["descriptors"]``, (rows, cols, D).
    """

    names: tuple[str, ...]
    pixels: tuple[ImageArray, ...]
    described: tuple[Described, ...]
    config: ExtractConfig

    def __len__(self) -> int:
        """How many images."""
        return len(self.names)

    def __repr__(self) -> str:
        """Count, model and facet."""
        facet = f"layer {self.config.layer} {self.config.facet}"
        return f"<{len(self)} images described by {self.config.model}, {facet}>"

    def _repr_html_(self) -> str:
        return self.gallery()._repr_html_()

    def gallery(self) -> Gallery:
        """Every image, its saliency and its descriptors as colours in one common basis."""
        descriptors = [self.descriptors(i) for i in range(len(self))]
        saliency = [d.arrays["saliency"] for d in self.described]
        look = set_look(descriptors, saliency)
        rows = []
        for i, name in enumerate(self.names):
            grid = self.described[i].grid
            view = ImageView(
                name, self.pixels[i], grid, saliency=saliency[i], descriptors=descriptors[i]
            )
            rows.append(tuple(draw_image(view, look).values()))
        return Gallery(("picture", "saliency", "descriptors (PCA)"), self.names, tuple(rows))

    def descriptors(self, image: int) -> np.ndarray:
        """Main descriptors of one image, (rows, cols, D) float32, raw."""
        return self.described[image].arrays["descriptors"].astype(np.float32)

    def clusters(self, count: int, *, seed: int = 0) -> Gallery:
        """Spherical k-means over all patches; the labels are the gallery's `values`."""
        units = [unit(self.descriptors(i)) for i in range(len(self))]
        points = np.concatenate([u.reshape(-1, u.shape[-1]) for u in units])
        centers = kmeans(points, count, seed=seed)
        labels = tuple(assign(u, centers) for u in units)
        rows = []
        for i, found in enumerate(labels):
            spread_out = to_image_size(found, self.described[i].grid, nearest=True)
            rows.append((self.pixels[i], label_picture(spread_out, palette(count))))
        return Gallery(("picture", "clusters"), self.names, tuple(rows), labels)

    def masks(self, config: CosegmentConfig = CLUSTERED) -> Gallery:
        """The object that the images share; masks (H, W) bool are the gallery's `values`.

        Raises:
            ValueError: these images were described without the facet that `config` clusters.
        """
        from tasks.foreground import cosegment
        from tasks.set_likeness import compared_array
        from tasks.stored import ImageDescriptors

        array = self._array_of(config)
        stored = [
            ImageDescriptors(
                name=name,
                ref=ImageRef(name, name, 0, ""),
                grid=one.grid,
                descriptors=one.arrays[array].astype(np.float32),
                saliency=one.arrays["saliency"],
                cls=None,
            )
            for name, one in zip(self.names, self.described, strict=True)
        ]
        compared = self._holding(config.arrays[compared_array(config)])
        maps = [one.arrays[compared] for one in self.described] if compared else None
        made = {name: getattr(self.config, name) for name in ("model", "weights", "pca")}
        model, foreground = cosegment(stored, config.replace(**made), maps)
        masks, rows = [], []
        for i, soft in enumerate(foreground):
            sharp = to_image_size(soft, self.described[i].grid)
            masks.append(
                refine(self.pixels[i], sharp, config.refinement, strongest=config.strongest)
            )
            rows.append((self.pixels[i], mask_overlay(self.pixels[i], masks[-1])))
        return Gallery(("picture", "mask"), self.names, tuple(rows), tuple(masks), model.warnings)

    def matches(
        self, source: int, target: int, *, count: int = 10, hierarchy: int = 2, seed: int = 0
    ) -> Matches:
        """The `count` best-spread best buddies of two images, log-binned, salient on both sides."""
        maps = [self.descriptors(i) for i in (source, target)]
        saliency = [self.described[i].arrays["saliency"] for i in (source, target)]
        here, there = (torch.from_numpy(m) for m in maps)
        blocks = binned_cosine_blocks(here, there, hierarchy)
        buddies = best_buddies(nearest_both_ways(blocks), *saliency)
        flat = [m.reshape(-1, m.shape[-1]) for m in maps]
        pairs = unit(flat[0][buddies.source]), unit(flat[1][buddies.target])
        kept = spread(buddies, sum(side @ side.T for side in pairs), count, seed=seed)
        centers = [self.described[i].grid.centers_xy() for i in (source, target)]
        return Matches(
            self.pixels[source],
            self.pixels[target],
            centers[0][kept.source],
            centers[1][kept.target],
            kept.similarity,
        )

    def similar(self, image: int, x: float, y: float) -> Gallery:
        """Cosine of the patch at (x, y) of one image to all patches of every image.

        The maps, (rows, cols) float32, are the gallery's `values`.
        """
        grid = self.described[image].grid
        row, col = np.rint(grid.to_row_col(np.array([x, y]))).astype(int)
        if not (0 <= row < grid.rows and 0 <= col < grid.cols):
            raise ValueError(
                f"expected a point of {self.names[image]}, {grid.image[0]}x{grid.image[1]} "
                f"pixels, got ({x}, {y})"
            )
        query = unit(self.descriptors(image)[row, col])
        maps = tuple(unit(self.descriptors(i)) @ query for i in range(len(self)))
        low = min(float(m.min()) for m in maps)
        rows = []
        for i, values in enumerate(maps):
            full = to_image_size(values, self.described[i].grid, nearest=True)
            rows.append((self.pixels[i], scalar_picture(full, low=min(low, 0.999), high=1.0)))
        return Gallery(("picture", "similarity"), self.names, tuple(rows), maps)

    def heads(self, image: int) -> Gallery:
        """CLS attention of each head of the saliency's layer, over one image.

        The maps, (rows, cols) float32, are the gallery's `values`; each is drawn in its own range,
        as its square root.
        """
        model = model_of(self.config)
        grid = self.described[image].grid
        canvas = to_canvas(self.pixels[image], grid, self.config.interpolation)
        layer = self.config.saliency_layer
        features = extract_facets(
            model.module,
            to_batch([canvas], model.mean, model.std).to(
                model.device, getattr(torch, model.precision)
            ),
            [],
            stride=self.config.strides,
            position_resize=self.config.resolved_position_resize,
            attended=self.config.attended,
            attention_layer=model.depth - 1 if layer is None else layer,
        )
        if features.attention is None:
            raise RuntimeError("no attention came back although a layer was named")
        maps = tuple(features.attention[0].float().cpu().numpy())
        drawn = [
            scalar_picture(to_image_size(np.sqrt(m / max(m.max(), 1e-9)), grid, nearest=True))
            for m in maps
        ]
        names = tuple(f"head {number}" for number in range(len(maps)))
        return Gallery(("attention",), names, tuple((picture,) for picture in drawn), maps)

    def _array_of(self, config: CosegmentConfig) -> str:
        """Which array holds the facet that `config` asks for."""
        if name := self._holding(config.request):
            return name
        wanted = f"{config.layer}.{config.facet}"
        raise ValueError(
            f"expected images described with {wanted}; describe them again with also=('{wanted}',)"
        )

    def _holding(self, wanted: FacetRequest) -> str | None:
        """The array that holds a facet, None where these images were described without."""
        arrays = self.config.arrays.items()
        return next((name for name, request in arrays if request == wanted), None)
