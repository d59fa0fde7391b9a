"""The pictures of a set for its page: what a task has in its hands, drawn and written.

A task makes one `SetLook` for the set, so that the same descriptor has the same colour in every
image, then writes image by image; nothing of an image is kept. All maps are over the patches.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from storage.files import join
from storage.results import write_rgb
from tasks.ops.compose import ImageArray
from tasks.ops.draw import (
    ColourBasis,
    draw_boxes,
    fit_colour_basis,
    label_overlay,
    label_picture,
    mask_overlay,
    palette,
    pca_picture,
    scalar_picture,
)
from tasks.ops.draw_layout import contact_sheet, fitted
from tasks.ops.patch_grid import PatchGrid, unit
from tasks.ops.preprocess import to_image_size
from tasks.ops.sketch import SketchBasis, fit_sketch
from tasks.ops.voting import ClusterVotes
from tasks.report_records import ClusterRecord, GridRecord, ImageRecord
from tasks.report_sketches import binned_id, fit_binned, write_sketches

PICTURE_SIDE = 400  # pixels of the longer side
_LARGE_SIDE = 1000  # of what the enlarged view shows
_QUALITY = 85
SKETCHED_IMAGES = 300  # more in one page would be of no use, at 60 KB each
_LARGE_IMAGES = 300  # have large pictures, at 100 KB each
_SAMPLE = 20_000  # patches that a set's colours and sketches are fitted on


@dataclass(frozen=True, slots=True)
class SetLook:
    """What is common to a set's pictures. basis: colours of descriptors. colours: (K, 3) uint8,
    of the clusters or parts. sketches: bases by source id.
    """

    basis: ColourBasis | None = None
    colours: np.ndarray = field(default_factory=lambda: palette(64))
    sketches: dict[str, SketchBasis] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImageView:
    """One image and what is known of it; what is None is not drawn.

    pixels: (H, W, 3) uint8. saliency: (rows, cols) in [0, 1]. clusters: (rows, cols) int.
    descriptors: (rows, cols, D), drawn as colours. mask: (H, W) bool. parts, objects: (H, W)
    int, 0 background. boxes_xyxy: (P, 4) pixels. heads: (h, rows, cols), attention of each head.
    sketched: descriptors (rows, cols, D) by source id of the look's sketches.
    """

    name: str
    pixels: ImageArray
    grid: PatchGrid
    saliency: np.ndarray | None = None
    clusters: np.ndarray | None = None
    descriptors: np.ndarray | None = None
    mask: np.ndarray | None = None
    parts: np.ndarray | None = None
    objects: np.ndarray | None = None
    boxes_xyxy: np.ndarray | None = None
    heads: np.ndarray | None = None
    sketched: dict[str, np.ndarray] = field(default_factory=dict)


def set_look(
    descriptors: Sequence[np.ndarray],
    saliency: Sequence[np.ndarray],
    *,
    clusters: int = 64,
    sources: Sequence[str] = (),
    channels: int = 64,
    binned: bool = False,
) -> SetLook:
    """The look of a set, fitted on a sample of its patches.

    Args:
        descriptors: (rows, cols, D) for each image, or for a sample of the images.
        saliency: (rows, cols) each; patches above their image's mean count as foreground.
        clusters: how many colours are needed.
        sources: ids of inspector sources that these descriptors stand for.
        channels: that a sketch keeps.
        binned: offer the log-binned descriptors as well.
    """
    step = -(-sum(s.size for s in saliency) // _SAMPLE)
    sample = np.concatenate([unit(d.reshape(-1, d.shape[-1])[::step]) for d in descriptors])
    front = np.concatenate([(s > s.mean()).ravel()[::step] for s in saliency])
    basis = fit_colour_basis(sample, front) if len(sample) >= 4 else None
    sketches = {source: fit_sketch(sample, channels) for source in sources}
    if binned:
        rough = fit_binned(descriptors, channels)
        sketches |= {binned_id(source): rough for source in sources}
    return SetLook(basis, palette(clusters), sketches)


def draw_image(view: ImageView, look: SetLook) -> dict[str, ImageArray]:
    """Every picture of one image by layer, none larger than PICTURE_SIDE."""
    small = _at_most(view.pixels, PICTURE_SIDE)
    return {"image": small} | _draw_patches(view, look, small) | _draw_pixels(view, look, small)


def _draw_large(view: ImageView, look: SetLook) -> dict[str, ImageArray]:
    """What is worth more pixels, by layer; nothing of an image that is small itself."""
    if max(view.pixels.shape[:2]) <= PICTURE_SIDE:
        return {}
    large = _at_most(view.pixels, _LARGE_SIDE)
    return {"image": large} | _draw_pixels(view, look, large)


def _at_most(pixels: ImageArray, side: int) -> ImageArray:
    return fitted(pixels, side, side) if max(pixels.shape[:2]) > side else pixels


def _draw_patches(view: ImageView, look: SetLook, small: ImageArray) -> dict[str, ImageArray]:
    """What is known patch by patch, each patch a flat square."""
    grid = replace(view.grid, image=(small.shape[1], small.shape[0]))
    drawn = {}
    if view.saliency is not None:
        # Saliency is heavy-tailed: its square root shows more than the few strongest patches.
        spread = to_image_size(np.sqrt(view.saliency), grid, nearest=True)
        drawn["saliency"] = scalar_picture(spread)
    if view.heads is not None:
        tops = np.maximum(view.heads.max(axis=(1, 2), keepdims=True), 1e-9)
        maps = [to_image_size(m, grid, nearest=True) for m in np.sqrt(view.heads / tops)]
        cell = small.shape[1] // 2, small.shape[0] // 2
        sheet = contact_sheet([scalar_picture(m) for m in maps], columns=3, cell=cell)
        drawn["heads"] = fitted(sheet, PICTURE_SIDE, PICTURE_SIDE)
    if view.clusters is not None:
        labels = to_image_size(view.clusters, grid, nearest=True)
        drawn["clusters"] = label_picture(labels, look.colours)
    if view.descriptors is not None and look.basis is not None:
        colours = pca_picture(unit(view.descriptors), look.basis)
        drawn["pca"] = to_image_size(colours, grid, nearest=True)
    return drawn


def _draw_pixels(view: ImageView, look: SetLook, small: ImageArray) -> dict[str, ImageArray]:
    """What is known pixel by pixel, over the image."""
    size = small.shape[1], small.shape[0]
    drawn = {}
    if view.mask is not None:
        drawn["overlay"] = mask_overlay(small, _shrunk(view.mask, size).astype(bool))
    if view.parts is not None:
        drawn["parts"] = label_overlay(small, _shrunk(view.parts, size), look.colours)
    if view.objects is not None:
        drawn["objects"] = label_overlay(small, _shrunk(view.objects, size), look.colours)
    if view.boxes_xyxy is not None:
        scale = size[0] / view.pixels.shape[1]
        drawn["boxes"] = draw_boxes(small, view.boxes_xyxy * scale, look.colours)
    return drawn


def write_image(
    folder: str,
    number: int,
    view: ImageView,
    look: SetLook,
    *,
    mask: str | None = None,
    jaccard: float | None = None,
    warnings: Sequence[str] = (),
) -> ImageRecord:
    """Write one image's pictures and sketches below `folder` and return its record.

    Args:
        folder: of the set, where its set.json will lie.
        number: of the image in the set; files are named by it, so names never clash or escape.
        mask: path of the mask that the task wrote, relative to `folder`.
    """
    pictures = {}
    for layer, picture in draw_image(view, look).items():
        pictures[layer] = f"pictures/{number:05d}-{layer}.jpg"
        write_rgb(join(folder, pictures[layer]), picture, quality=_QUALITY)
    large = {}
    for layer, picture in (_draw_large(view, look) if number < _LARGE_IMAGES else {}).items():
        large[layer] = f"pictures/{number:05d}-{layer}-large.jpg"
        write_rgb(join(folder, large[layer]), picture, quality=_QUALITY)
    few = number < SKETCHED_IMAGES
    sketches = write_sketches(folder, number, view.sketched, look.sketches) if few else {}
    return ImageRecord(
        name=view.name,
        width=view.pixels.shape[1],
        height=view.pixels.shape[0],
        pictures=pictures,
        large=large,
        mask=mask,
        jaccard=jaccard,
        grid=grid_record(view.grid) if sketches else None,
        sketches=sketches,
        warnings=tuple(warnings),
    )


def grid_record(grid: PatchGrid) -> GridRecord:
    """Where the patches lie, as shares of the image."""
    corners = np.array([[-0.5, -0.5], [grid.rows - 0.5, grid.cols - 0.5]])
    (left, top), (right, bottom) = grid.to_xy(corners) / grid.image
    return GridRecord(grid.rows, grid.cols, *map(float, (left, top, right - left, bottom - top)))


def cluster_records(votes: ClusterVotes, look: SetLook) -> tuple[ClusterRecord, ...]:
    """The table of clusters, in the colours of the pictures."""
    records = []
    for number, reason in enumerate(votes.reasons):
        red, green, blue = (int(c) for c in look.colours[number])
        records.append(
            ClusterRecord(
                id=number,
                size=int(votes.sizes[number]),
                mean_saliency=float(votes.saliency[number]),
                votes=int(votes.votes[number]),
                images=int(votes.images[number]),
                kept=bool(votes.kept[number]),
                reason=reason,
                colour=(red, green, blue),
            )
        )
    return tuple(records)


def _shrunk(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Labels (H, W) at (width, height), nearest neighbour."""
    rows = ((np.arange(size[1]) + 0.5) * labels.shape[0] / size[1]).astype(int)
    cols = ((np.arange(size[0]) + 0.5) * labels.shape[1] / size[0]).astype(int)
    return labels[rows[:, None], cols[None]]
