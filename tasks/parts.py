"""Parts of a set's common object: cluster its foreground, label pixels, keep the codebook."""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from prefect import task

from storage.codebooks import read_codebook, write_codebook
from storage.descriptors import DescriptorStore
from storage.errors import StorageError, UnreadableImageError
from storage.files import join
from storage.images import read_image
from storage.results import write_indexed_png, write_mask
from tasks.config import EXECUTION_FIELDS
from tasks.cosegment import Cosegmentation, Joined, SetReport, cosegment, join_facets, read_joined
from tasks.describe import describe
from tasks.faults import STORAGE_RETRIES
from tasks.ops.draw import palette
from tasks.ops.kmeans import assign
from tasks.ops.parts import (
    PartCodebook,
    crop_boxes,
    find_parts,
    label_parts,
    part_energies,
    part_region,
    pool_descriptors,
)
from tasks.ops.patch_grid import unit
from tasks.ops.preprocess import to_image_size
from tasks.ops.refine import refine
from tasks.parts_config import PartsConfig
from tasks.report_pictures import ImageView, SetLook, set_look, write_image
from tasks.report_records import ClusterRecord, ImageRecord, SetRecord, write_record
from tasks.reuse import finished, mark_finished
from tasks.sets import ImageSet, result_stems, work_key
from tasks.stored import ImageDescriptors, read_descriptors

CODE = "parts-3"
CODEBOOK = "codebook.zarr"
_SMALL_SET = 20  # images; larger sets have variety enough


@task(name="parts-set", tags=["patchflow-parts"], **STORAGE_RETRIES)
def parts_set(store: str, images: ImageSet, out: str, config: PartsConfig) -> SetReport:
    """Write ``OUT/<set>/parts/<stem>.png``, masks and the codebook, unless an equal run did."""
    started = time.perf_counter()
    opened = DescriptorStore.open(store)
    settings = config.model_dump(mode="json", exclude=set(EXECUTION_FIELDS))
    key = work_key(opened, images.images, settings, CODE)
    folder = join(out, images.name)
    if (earlier := finished(folder, key, SetReport)) is not None:
        return replace(earlier, reused=True)
    known = read_parts(config.codebook, config) if config.codebook else None
    described = list(read_descriptors(opened, images.images))
    joined = read_joined(opened, images.images, config, known[0] if known else None)
    found = cosegment(described, config, joined.descriptors)
    pooled = [pool_descriptors(one, config.pool) for one in joined.descriptors]
    joined = Joined(joined.axes, pooled)
    book = known[1] if known else learn_parts(described, joined, found, config)
    write_parts_codebook(join(folder, CODEBOOK), joined.axes, book, config)
    missing = _write_parts(described, joined, found, book, folder, config)
    report = SetReport(
        name=images.name,
        masks=len(described) - len(missing),
        clusters=len(found.clustering.centers),
        kept=len(book.centers),
        missing=missing,
        warnings=(*found.warnings, *book.warnings),
        seconds=time.perf_counter() - started,
    )
    mark_finished(folder, key, report)
    return report


def learn_parts(
    images: Sequence[ImageDescriptors],
    joined: Joined,
    found: Cosegmentation,
    config: PartsConfig,
) -> PartCodebook:
    """Cluster the foreground of a set, with crops of its images where it is small."""
    descriptors = [_flat(one) for one in joined.descriptors]
    foreground = [one.ravel() > 0.5 for one in found.foreground]
    if config.crops and len(images) < _SMALL_SET:
        for index, image in enumerate(images):
            for one, inside in _crops(image, joined.axes, found.foreground[index], config):
                descriptors.append(one)
                foreground.append(inside)
    owner = np.arange(len(descriptors))
    if len(descriptors) > len(images):
        owner[len(images) :] = np.repeat(np.arange(len(images)), 2 * config.crops)
    return find_parts(
        np.concatenate(descriptors),
        np.concatenate(foreground),
        np.repeat(owner, [len(one) for one in descriptors]),
        parts=config.parts,
        elbow=config.parts_elbow,
        max_parts=config.max_parts,
        stages=config.stages,
        share=config.share,
        smallest=config.smallest_part,
        seed=config.seed,
    )


def read_parts(url: str, config: PartsConfig) -> tuple[np.ndarray, PartCodebook]:
    """Axes and parts of an earlier run.

    Raises:
        StorageError: no codebook, or one made from other descriptors.
    """
    arrays, attributes = read_codebook(url)
    if attributes.get("descriptors") != _identity(config):
        raise StorageError(
            f"{url} was made from other descriptors: {attributes.get('descriptors')}; these "
            f"settings give {_identity(config)}. Use the codebook's settings"
        )
    return arrays["axes"], PartCodebook(arrays["centers"])


def write_parts_codebook(
    url: str, axes: np.ndarray, book: PartCodebook, config: PartsConfig
) -> str:
    """Keep what numbers the parts, for later runs."""
    arrays = {"axes": axes, "centers": book.centers}
    return write_codebook(url, arrays, {"kind": "parts", "descriptors": _identity(config)})


def _identity(config: PartsConfig) -> dict[str, str]:
    facets = ",".join(f"{r.layer}.{r.facet}" for r in config.arrays.values())
    return {
        "model": config.model,
        "weights": config.resolved_weights,
        "facets": facets,
        "pool": str(config.pool),
    }


def _crops(
    image: ImageDescriptors, axes: np.ndarray, foreground: np.ndarray, config: PartsConfig
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Descriptors and foreground of random crops and their mirror images."""
    try:
        picture = read_image(image.ref)
    except UnreadableImageError:
        return []
    soft = to_image_size(foreground, image.grid)
    views, masks = [], []
    for left, top, right, bottom in crop_boxes(*image.grid.image, config.crops, seed=config.seed):
        for flip in (1, -1):
            views.append(np.ascontiguousarray(picture[top:bottom, left:right][:, ::flip]))
            masks.append(soft[top:bottom, left:right][:, ::flip])
    found = []
    for view, mask in zip(describe(views, config.extraction()), masks, strict=True):
        at = view.grid.centers_xy().astype(int).clip(0, np.subtract(mask.shape[::-1], 1))
        facets = [view.arrays[name].astype(np.float32) for name in config.arrays]
        pooled = pool_descriptors(unit(join_facets(facets) @ axes), config.pool)
        found.append((_flat(pooled), mask[at[:, 1], at[:, 0]] > 0.5))
    return found


def _flat(image: np.ndarray) -> np.ndarray:
    return image.reshape(-1, image.shape[-1])


def _write_parts(
    images: Sequence[ImageDescriptors],
    joined: Joined,
    found: Cosegmentation,
    book: PartCodebook,
    folder: str,
    config: PartsConfig,
) -> tuple[tuple[str, str], ...]:
    """Refine, label and write; returns (name, reason) of what is missing."""
    stems = result_stems(image.name for image in images)
    # Colour 0 is the background's in the PNG; the report's overlay leaves 0 uncoloured.
    colours = np.concatenate([np.zeros((1, 3), np.uint8), palette(len(book.centers))])
    count = max(len(found.clustering.centers), len(book.centers))
    look = _look(images, count) if config.pictures else None
    nearest = [
        assign(one, book.centers) if len(book.centers) else None for one in joined.descriptors
    ]
    records: list[ImageRecord] = []
    missing: list[tuple[str, str]] = []
    for index, image in enumerate(images):
        try:
            picture = read_image(image.ref)
        except UnreadableImageError as error:
            missing.append((image.name, error.reason))
            continue
        soft = to_image_size(found.foreground[index], image.grid)
        mask = refine(picture, soft, config.refinement, strongest=config.strongest)
        energies = part_energies(joined.descriptors[index], book)
        spread = (
            to_image_size(energies, image.grid) if len(book.centers) else np.zeros((*mask.shape, 0))
        )
        pitch = image.grid.stride[1] * image.grid.image[0] / image.grid.resized[0]
        region = part_region(mask, soft > 0.5, config.margin * pitch)
        labels = label_parts(picture, spread, region if mask.any() else mask)
        stem = stems[image.name]
        write_mask(join(folder, f"masks/{stem}.png"), mask)
        write_indexed_png(join(folder, f"parts/{stem}.png"), labels, colours)
        if look is not None:
            view = ImageView(
                name=image.name,
                pixels=picture,
                grid=image.grid,
                saliency=image.saliency,
                clusters=found.labels[index],
                mask=mask,
                parts=labels,
            )
            records.append(write_image(folder, index, view, look, mask=f"masks/{stem}.png"))
    if look is not None:
        record = SetRecord(
            kind="parts",
            name=folder.rstrip("/").rpartition("/")[2],
            images=tuple(records),
            clusters=_legend(images, found, nearest, look, len(book.centers)),
            sketches=(),
            warnings=(*found.warnings, *book.warnings),
            settings=config.model_dump(mode="json"),
        )
        write_record(folder, record)
    return tuple(missing)


def _legend(
    images: Sequence[ImageDescriptors],
    found: Cosegmentation,
    nearest: Sequence[np.ndarray | None],
    look: SetLook,
    parts: int,
) -> tuple[ClusterRecord, ...]:
    """One row for each part, in its colour."""
    inside = [one > 0.5 for one in found.foreground]
    total = max(sum(int(one.sum()) for one in inside), 1)
    rows = []
    for part in range(parts):
        members = [
            (labels == part) & front
            for labels, front in zip(nearest, inside, strict=True)
            if labels is not None
        ]
        size = sum(int(one.sum()) for one in members)
        bright = sum(float(i.saliency[m].sum()) for i, m in zip(images, members, strict=True))
        seen = sum(bool(one.any()) for one in members)
        red, green, blue = (int(c) for c in look.colours[part])
        rows.append(
            ClusterRecord(
                id=part + 1,
                size=size,
                mean_saliency=bright / max(size, 1),
                votes=seen,
                images=seen,
                kept=True,
                reason=f"part {part + 1}: {size / total:.0%} of the foreground",
                colour=(red, green, blue),
            )
        )
    return tuple(rows)


def _look(images: Sequence[ImageDescriptors], clusters: int) -> SetLook:
    return set_look(
        [image.descriptors for image in images],
        [image.saliency for image in images],
        clusters=clusters,
    )
