"""The pictures of a set for its page: what a task has in its hands, drawn and written.

A task makes one `SetLook` for the set, so that the same descriptor has the same colour in every
image, then writes image by image; nothing of an image is kept. All maps are over the patches.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from storage.files import join, write_bytes
from storage.results import write_rgb
from tasks.ops.compose import ImageArray
from tasks.ops.draw import (
    ColourBasis,
    fit_colour_basis,
    label_overlay,
    label_picture,
    mask_overlay,
    palette,
    pca_picture,
    scalar_picture,
)
from tasks.ops.draw_layout import fitted
from tasks.ops.patch_grid import PatchGrid, unit
from tasks.ops.preprocess import to_image_size
from tasks.ops.sketch import SketchBasis, fit_sketch, measure_sketch, sketch
from tasks.ops.voting import ClusterVotes
from tasks.report_records import ClusterRecord, GridRecord, ImageRecord, SketchRecord

PICTURE_SIDE = 400  # pixels of the longer side
_QUALITY = 85
SKETCHED_IMAGES = 300  # more in one page would be of no use, at 60 KB each
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
    descriptors: (rows, cols, D), drawn as colours. mask: (H, W) bool. parts: (H, W) int, 0
    background. sketched: descriptors (rows, cols, D) by source id of the look's sketches.
    """

    name: str
    pixels: ImageArray
    grid: PatchGrid
    saliency: np.ndarray | None = None
    clusters: np.ndarray | None = None
    descriptors: np.ndarray | None = None
    mask: np.ndarray | None = None
    parts: np.ndarray | None = None
    sketched: dict[str, np.ndarray] = field(default_factory=dict)


def set_look(
    descriptors: Sequence[np.ndarray],
    saliency: Sequence[np.ndarray],
    *,
    clusters: int = 64,
    sources: Sequence[str] = (),
    channels: int = 64,
) -> SetLook:
    """The look of a set, fitted on a sample of its patches.

    Args:
        descriptors: (rows, cols, D) for each image, or for a sample of the images.
        saliency: (rows, cols) each; patches above their image's mean count as foreground.
        clusters: how many colours are needed.
        sources: ids of inspector sources that these descriptors stand for.
        channels: that a sketch keeps.
    """
    flat = np.concatenate([unit(d.reshape(-1, d.shape[-1])) for d in descriptors])
    front = np.concatenate([(s > s.mean()).ravel() for s in saliency])
    step = -(-len(flat) // _SAMPLE)
    sample, front = flat[::step], front[::step]
    basis = fit_colour_basis(sample, front) if len(sample) >= 4 else None
    return SetLook(
        basis, palette(clusters), {source: fit_sketch(sample, channels) for source in sources}
    )


def draw_image(view: ImageView, look: SetLook) -> dict[str, ImageArray]:
    """Every picture of one image by layer, none larger than PICTURE_SIDE."""
    small = fitted(view.pixels, PICTURE_SIDE, PICTURE_SIDE)
    if max(view.pixels.shape[:2]) <= PICTURE_SIDE:
        small = view.pixels
    size = small.shape[1], small.shape[0]
    grid = replace(view.grid, image=size)
    drawn = {"image": small}
    if view.saliency is not None:
        # Saliency is heavy-tailed: its square root shows more than the few strongest patches.
        spread = to_image_size(np.sqrt(view.saliency), grid, nearest=True)
        drawn["saliency"] = scalar_picture(spread)
    if view.clusters is not None:
        drawn["clusters"] = label_picture(
            to_image_size(view.clusters, grid, nearest=True), look.colours
        )
    if view.descriptors is not None and look.basis is not None:
        colours = pca_picture(unit(view.descriptors), look.basis)
        drawn["pca"] = to_image_size(colours, grid, nearest=True)
    if view.mask is not None:
        drawn["overlay"] = mask_overlay(small, _shrunk(view.mask, size).astype(bool))
    if view.parts is not None:
        drawn["parts"] = label_overlay(small, _shrunk(view.parts, size), look.colours)
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
    sketches = {}
    sketched = view.sketched if number < SKETCHED_IMAGES else {}
    for source, descriptors in sketched.items():
        sketches[source] = f"sketches/{source}/{number:05d}.bin"
        values = sketch(descriptors, look.sketches[source])
        write_bytes(join(folder, sketches[source]), values.tobytes())
    return ImageRecord(
        name=view.name,
        width=view.pixels.shape[1],
        height=view.pixels.shape[0],
        pictures=pictures,
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


def sketch_record(
    source: str, label: str, basis: SketchBasis, sample: Sequence[np.ndarray]
) -> SketchRecord:
    """One inspector source with what sketching changes, measured on a sample of its images.

    Args:
        source: id, safe in file names. label: for people. sample: (rows, cols, D) each.
    """
    error = measure_sketch(sample, basis) if sample else None
    return SketchRecord(
        id=source,
        label=label,
        offsets=tuple(map(float, basis.offsets)),
        scales=tuple(map(float, basis.scales)),
        mean_error=error.mean if error else None,
        high_error=error.high if error else None,
        same_best=error.same_best if error else None,
    )


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
