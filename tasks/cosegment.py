"""Co-segmentation tasks: learn a set's object, decide and refine every image, write masks."""

from collections.abc import Sequence

import numpy as np
from prefect import task

from storage.descriptors import DescriptorStore
from storage.files import join
from storage.results import write_mask
from tasks.bundles import in_turn
from tasks.config import CosegmentConfig
from tasks.faults import STORAGE_RETRIES
from tasks.foreground import SetModel, learn_stored
from tasks.report_pictures import ImageView, SetLook, cluster_records, set_look, write_image
from tasks.report_records import ImageRecord, SetRecord, write_record
from tasks.report_sketches import offer_stored_facets, sketch_records
from tasks.set_results import (
    Decided,
    Member,
    SetReport,
    Written,
    make_once,
    write_blocks,
    write_each,
)
from tasks.sets import ImageSet
from tasks.stored import read_descriptors

# Part of every result's key: raise it when the maths or the files change.
CODE = "cosegment-7"
SKETCH = "main"  # the inspector's source: the descriptors of the main facet
_LOOK_IMAGES = 24  # that colours and sketches are fitted on
_BINNED_IMAGES = 64  # log-bins take a tenth of a second an image


@task(name="cosegment-sets", tags=["patchflow-cosegment"], **STORAGE_RETRIES)
def cosegment_sets(
    store: str, sets: tuple[ImageSet, ...], out: str, config: CosegmentConfig
) -> tuple[SetReport, ...]:
    """Do one set after the other; those that an equal run did are done already."""
    return in_turn(lambda images: cosegment_set(store, images, out, config), sets)


def cosegment_set(store: str, images: ImageSet, out: str, config: CosegmentConfig) -> SetReport:
    """Write ``OUT/<set>/masks/<stem>.png`` of one set, unless an equal run did already."""

    def work(
        opened: DescriptorStore, members: list[Member], folder: str
    ) -> tuple[Written, int, int]:
        names = [member.name for member in members]
        model, _ = learn_stored(opened, names, config)
        sample, look = _look(opened, names, model) if config.pictures else ([], None)
        written = write_blocks(mask_block, store, members, model, look, folder, config)
        if look is not None:
            _write_page(folder, written.records, model, look, sample, config)
            if config.also:
                offer_stored_facets(opened, folder, config)
        told = Written(written.records, written.missing, (*model.warnings, *written.warnings))
        return told, len(model.clustering.centers), int(model.votes.kept.sum())

    return make_once(store, images, out, config, code=CODE, results=["masks"], work=work)


def mask_block(
    store: str,
    members: Sequence[Member],
    model: SetModel,
    look: SetLook | None,
    folder: str,
    config: CosegmentConfig,
) -> Written:
    """Write the masks, and the pictures for the report, of some of a set's images."""

    def write(one: Decided) -> ImageRecord | None:
        path = f"masks/{one.member.stem}.png"
        write_mask(join(folder, path), one.mask)
        if look is None:
            return None
        view = ImageView(
            name=one.image.name,
            pixels=one.picture,
            grid=one.image.grid,
            saliency=one.image.saliency,
            clusters=model.label(one.units),
            descriptors=one.image.descriptors,
            heads=one.image.heads,
            mask=one.mask,
            sketched={SKETCH: one.image.descriptors},
        )
        return write_image(folder, one.member.number, view, look, mask=path)

    return write_each(store, members, model, config, write)


def _look(
    store: DescriptorStore, names: Sequence[str], model: SetModel
) -> tuple[list[np.ndarray], SetLook]:
    """A sample of the set's descriptors, (rows, cols, D) each, and the colours fitted on it."""
    sample = list(read_descriptors(store, names[:: -(-len(names) // _LOOK_IMAGES)]))
    descriptors = [image.descriptors for image in sample]
    return descriptors, set_look(
        descriptors,
        [image.saliency for image in sample],
        clusters=len(model.clustering.centers),
        sources=[SKETCH],
        binned=len(names) <= _BINNED_IMAGES,
    )


def _write_page(
    folder: str,
    records: tuple[ImageRecord, ...],
    model: SetModel,
    look: SetLook,
    sample: Sequence[np.ndarray],
    config: CosegmentConfig,
) -> None:
    label = f"layer {config.layer} {config.facet}"
    record = SetRecord(
        kind="coseg",
        name=folder.rstrip("/").rpartition("/")[2],
        images=records,
        clusters=cluster_records(model.votes, look),
        sketches=sketch_records(look.sketches, {SKETCH: label}, sample),
        warnings=model.warnings,
        settings=config.model_dump(mode="json"),
    )
    write_record(folder, record)
