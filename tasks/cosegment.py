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
from tasks.report_pictures import SetLook, cluster_records, write_image
from tasks.report_records import ImageRecord, SetRecord, write_record
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

# Part of every result's key: raise it when the maths or the files change.
CODE = "cosegment-9"


@task(name="cosegment-sets", tags=["patchflow-cosegment"], **STORAGE_RETRIES)
def cosegment_sets(
    store: str, sets: tuple[ImageSet, ...], out: str, config: CosegmentConfig
) -> tuple[SetReport, ...]:
    """Do one set after the other; those that an equal run did are done already."""
    return in_turn(lambda images: cosegment_set(store, images, out, config), sets)


def cosegment_set(store: str, images: ImageSet, out: str, config: CosegmentConfig) -> SetReport:
    """Write ``OUT/<set>/masks/<stem>.png`` of one set, unless an equal run did already."""

    def work(opened: DescriptorStore, members: list[Member], folder: str) -> Outcome:
        names = [member.name for member in members]
        model, _ = learn_stored(opened, names, config)
        colours = len(model.clustering.centers)
        sample, look = fit_look(opened, names, colours) if config.pictures else ([], None)
        written = write_blocks(mask_block, store, members, model, look, folder, config)
        if look is not None:
            _write_page(folder, written.records, model, look, sample, config)
            if config.also:
                offer_stored_facets(opened, folder, config)
        told = Written(written.records, written.missing, (*model.warnings, *written.warnings))
        kept = int(model.votes.kept.sum())
        return Outcome(told, len(model.clustering.centers), kept, model.likeness)

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
        return write_image(folder, one.member.number, view_of(one, model), look, mask=path)

    return write_each(store, members, model, config, write)


def _write_page(
    folder: str,
    records: tuple[ImageRecord, ...],
    model: SetModel,
    look: SetLook,
    sample: Sequence[np.ndarray],
    config: CosegmentConfig,
) -> None:
    record = SetRecord(
        kind="coseg",
        name=folder.rstrip("/").rpartition("/")[2],
        images=records,
        clusters=cluster_records(model.votes, look),
        sketches=inspector_sources(look, sample, config),
        warnings=model.warnings,
        notes=likeness_note(model.likeness, config),
        settings=config.model_dump(mode="json"),
    )
    write_record(folder, record)
