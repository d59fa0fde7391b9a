"""Parts of a set's common object: the same number, and colour, for the same part everywhere."""

from collections.abc import Sequence

import numpy as np
from prefect import task

from storage.descriptors import DescriptorStore
from storage.files import join
from storage.results import write_indexed_png, write_mask
from tasks.bundles import in_turn
from tasks.faults import STORAGE_RETRIES
from tasks.foreground import Sample, SetModel, learn_stored
from tasks.joined import fit_axes
from tasks.ops.draw import palette
from tasks.ops.kmeans import assign
from tasks.ops.parts import label_parts, part_energies, part_region
from tasks.ops.preprocess import to_image_size
from tasks.ops.refine import strong_regions
from tasks.part_codebook import PartModel, learn_parts, read_parts, write_parts
from tasks.parts_config import PartsConfig
from tasks.report_pictures import SetLook, write_image
from tasks.report_records import ClusterRecord, ImageRecord, SetRecord, write_record
from tasks.report_sketches import offer_stored_facets
from tasks.set_likeness import likeness_note
from tasks.set_page import fit_look, inspector_sources, view_of
from tasks.set_results import (
    Decided,
    Member,
    Outcome,
    SetReport,
    Written,
    make_once,
    write_blocks,
    write_each,
)
from tasks.sets import ImageSet

CODE = "parts-10"
CODEBOOK = "codebook.zarr"


@task(name="parts-sets", tags=["patchflow-parts"], **STORAGE_RETRIES)
def parts_sets(
    store: str, sets: tuple[ImageSet, ...], out: str, config: PartsConfig
) -> tuple[SetReport, ...]:
    """Do one set after the other; those that an equal run did are done already."""
    return in_turn(lambda images: parts_set(store, images, out, config), sets)


def parts_set(store: str, images: ImageSet, out: str, config: PartsConfig) -> SetReport:
    """Write ``OUT/<set>/parts/<stem>.png``, masks and the codebook, unless an equal run did."""
    known = read_parts(config.codebook, config) if config.codebook else None

    def work(opened: DescriptorStore, members: list[Member], folder: str) -> Outcome:
        names = [member.name for member in members]
        axes = known.axes if known else fit_axes(opened, names, config)
        model, sample = learn_stored(opened, names, config, axes)
        parts = known or learn_parts(opened, sample, model, config)
        write_parts(join(folder, CODEBOOK), parts, config)
        colours = max(len(model.clustering.centers), len(parts.book.centers))
        described, look = fit_look(opened, names, colours) if config.pictures else ([], None)
        written = write_blocks(parts_block, store, members, model, parts, look, folder, config)
        warnings = (*model.warnings, *parts.book.warnings, *written.warnings)
        if look is not None:
            rows = _part_rows(sample, model.decide_sample(sample, config), parts, look)
            record = SetRecord(
                kind="parts",
                name=images.name.rpartition("/")[2],
                images=written.records,
                clusters=rows,
                legend={f"part {row.id}": row.colour for row in rows if row.colour},
                sketches=inspector_sources(look, described, config),
                numbers={"parts": len(rows)},
                warnings=warnings,
                notes=likeness_note(model.likeness, config),
                settings=config.model_dump(mode="json"),
            )
            write_record(folder, record)
            if config.also:
                offer_stored_facets(opened, folder, config)
        told = Written(written.records, written.missing, warnings)
        clusters = len(model.clustering.centers)
        return Outcome(told, clusters, len(parts.book.centers), model.likeness)

    # The URL of a codebook says nothing: another run may have written another one there.
    code = f"{CODE} {known.digest}" if known else CODE
    return make_once(store, images, out, config, code=code, results=["masks", "parts"], work=work)


def parts_block(
    store: str,
    members: Sequence[Member],
    model: SetModel,
    parts: PartModel,
    look: SetLook | None,
    folder: str,
    config: PartsConfig,
) -> Written:
    """Write parts and masks, and the pictures for the report, of some of a set's images."""
    # Colour 0 is the background's in the PNG; the report's overlay leaves 0 uncoloured.
    colours = np.concatenate([np.zeros((1, 3), np.uint8), palette(len(parts.book.centers))])

    def write(one: Decided) -> ImageRecord | None:
        labels = label_image(one, parts, config)
        mask = f"masks/{one.member.stem}.png"
        write_mask(join(folder, mask), one.mask)
        write_indexed_png(join(folder, f"parts/{one.member.stem}.png"), labels, colours)
        if look is None:
            return None
        view = view_of(one, model, labels)
        return write_image(folder, one.member.number, view, look, mask=mask)

    return write_each(store, members, model, config, write)


def label_image(one: Decided, parts: PartModel, config: PartsConfig) -> np.ndarray:
    """Part labels (H, W) uint8 of one image: 0 background, 1..K parts."""
    if not len(parts.book.centers) or not one.mask.any():
        return np.zeros(one.mask.shape, dtype=np.uint8)
    grid = one.image.grid
    energies = part_energies(parts.around.see(one.units), parts.book)
    pitch = grid.stride[1] * grid.image[0] / grid.resized[0]
    region = part_region(
        one.mask, strong_regions(one.soft, config.strongest), config.margin * pitch
    )
    return label_parts(one.picture, to_image_size(energies, grid), region)


def _part_rows(
    sample: Sample, foreground: Sequence[np.ndarray], parts: PartModel, look: SetLook
) -> tuple[ClusterRecord, ...]:
    """One row for each part, in its colour, counted over the images that the set is learnt from."""
    inside = [one > 0.5 for one in foreground]
    total = max(sum(int(one.sum()) for one in inside), 1)
    centers = parts.book.centers
    nearest = [assign(parts.around.see(one), centers) for one in sample.units if len(centers)]
    rows = []
    for part in range(len(centers)):
        members = [(n == part) & front for n, front in zip(nearest, inside, strict=True)]
        size = sum(int(one.sum()) for one in members)
        bright = sum(float(s[m].sum()) for s, m in zip(sample.saliency, members, strict=True))
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
                reason=f"{size / total:.0%} of the foreground",
                colour=(red, green, blue),
            )
        )
    return tuple(rows)
