"""What the tasks over image sets share: results made once, pictures read block by block."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from storage.descriptors import DescriptorStore
from storage.errors import UnreadableImageError
from storage.files import join
from storage.images import read_image
from tasks.bars import advance
from tasks.blocks import run_blocks
from tasks.config import EXECUTION_FIELDS, CosegmentConfig
from tasks.foreground import SetModel
from tasks.ops.preprocess import one_colour, to_image_size
from tasks.ops.refine import refine
from tasks.report_records import PICTURES, ImageRecord, picture_files
from tasks.reuse import finished, mark_finished, remove_others
from tasks.sets import ImageSet, work_key
from tasks.stored import ImageDescriptors, read_descriptors

_BLOCK = 64  # images of a job
_JOBS = 4  # at least, where a set has images enough
_SMALLEST_BLOCK = 3


@dataclass(frozen=True, slots=True)
class SetReport:
    """What became of one set.

    masks: written, now or by the earlier run that is reused. clusters, kept: of the clustering.
    missing: images without a mask, with the reason. likeness: of the objects
    (`tasks.ops.likeness`), None where it is not known. reused: nothing had to be done.
    """

    name: str
    masks: int
    clusters: int
    kept: int
    missing: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    seconds: float
    likeness: float | None = None
    reused: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """What became of some of a set's images.

    records: for the report's page, none where it gets no pictures. missing: (name, reason) of
    images without a result. warnings: about single images.
    """

    records: tuple[ImageRecord, ...] = ()
    missing: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a set: what was written, clusters or parts and how many are kept."""

    written: Written
    clusters: int
    kept: int
    likeness: float | None


@dataclass(frozen=True, slots=True)
class Member:
    """One image of a set. number: in the set. stem: of its result files."""

    number: int
    name: str
    stem: str


@dataclass(frozen=True, slots=True)
class Decided:
    """One image, its foreground decided. picture: (H, W, 3) uint8. units: (rows, cols, C), what
    the model works on. soft: (H, W) float32, foreground above 0.5. mask: (H, W) bool, refined.
    """

    member: Member
    image: ImageDescriptors
    picture: np.ndarray
    units: np.ndarray
    soft: np.ndarray
    mask: np.ndarray


def make_once(
    store: str,
    images: ImageSet,
    out: str,
    config: CosegmentConfig,
    *,
    code: str,
    results: Sequence[str],
    work: Callable[[DescriptorStore, list[Member], str], Outcome],
) -> SetReport:
    """Results of one set below OUT/<set>, unless an equal run made them already.

    Args:
        code: the version of the maths and the files, part of the results' key.
        results: the folders that hold one PNG for each image; what no image has is removed, and
            so are the pictures that no image's record names.
        work: writes everything below a folder.
    """
    started = time.perf_counter()
    opened = DescriptorStore.open(store)
    settings = config.model_dump(mode="json", exclude=set(EXECUTION_FIELDS))
    key = work_key(opened, images.images, settings, code)
    folder = join(out, images.name)
    stems = images.stems
    files = [f"{place}/{stem}.png" for place in results for stem in stems.values()]
    if (earlier := finished(folder, key, SetReport, files)) is not None:
        return replace(earlier, reused=True)
    members = [Member(n, name, stems[name]) for n, name in enumerate(images.images)]
    done = work(opened, members, folder)
    written = done.written
    for place in results:
        remove_others(join(folder, place), [f"{stem}.png" for stem in stems.values()])
    if config.pictures:  # else set.json still names those of an earlier run
        remove_others(join(folder, PICTURES), picture_files(written.records))
    report = SetReport(
        name=images.name,
        masks=len(members) - len(written.missing),
        clusters=done.clusters,
        kept=done.kept,
        missing=written.missing,
        warnings=written.warnings,
        seconds=time.perf_counter() - started,
        likeness=done.likeness,
    )
    if not written.missing:
        mark_finished(folder, key, report)
    return report


def write_blocks(
    function: Callable[..., Written], store: str, members: Sequence[Member], *common: object
) -> Written:
    """`function(store, block, *common)` on all of a set's images, some at a time, through Dask or
    threads; what they wrote together, in the order of the images.
    """
    size = min(_BLOCK, max(_SMALLEST_BLOCK, -(-len(members) // _JOBS)))
    blocks = [members[i : i + size] for i in range(0, len(members), size)]
    parts = run_blocks(function, [(store, block, *common) for block in blocks])
    return Written(
        records=tuple(record for part in parts for record in part.records),
        missing=tuple(entry for part in parts for entry in part.missing),
        warnings=tuple(text for part in parts for text in part.warnings),
    )


def write_each(
    store: str,
    members: Sequence[Member],
    model: SetModel,
    config: CosegmentConfig,
    write: Callable[[Decided], ImageRecord | None],
) -> Written:
    """Decide, refine and `write` every image, one in memory at a time."""
    opened = DescriptorStore.open(store)
    records, missing, warnings = [], [], []
    described = read_descriptors(opened, [member.name for member in members])
    for member, image in zip(members, described, strict=True):
        try:
            picture = read_image(image.ref)
        except UnreadableImageError as error:
            missing.append((image.name, error.reason))
            continue
        units = model.read(opened, image, config)
        foreground = model.decide(units)
        left_out = _why_left_out(picture, image, model, config)
        if left_out:
            foreground = np.zeros_like(foreground)
            warnings.append(f"{image.name} {left_out}; its mask is empty")
        soft = to_image_size(foreground, image.grid)
        mask = refine(picture, soft, config.refinement, strongest=config.strongest)
        record = write(Decided(member, image, picture, units, soft, mask))
        advance()
        if record is not None:
            empty = f"{left_out}: its mask is empty" if left_out else "its mask is empty"
            noted = record.warnings if mask.any() else (*record.warnings, empty)
            records.append(replace(record, warnings=noted))
    return Written(tuple(records), tuple(missing), tuple(warnings))


def _why_left_out(
    picture: np.ndarray, image: ImageDescriptors, model: SetModel, config: CosegmentConfig
) -> str | None:
    """Why an image has no mask, whatever its descriptors say: a network finds something salient
    in a black picture too.
    """
    if one_colour(picture):
        return "is of one colour"
    return "is unlike the set and was left out" if model.unlike(image.cls, config) else None
