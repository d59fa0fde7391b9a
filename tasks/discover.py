"""Object discovery tasks: learn what objects look like, then find them block by block."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from prefect import task

from storage.descriptors import DescriptorStore
from storage.errors import UnreadableImageError
from storage.files import join
from storage.images import read_image
from storage.results import write_mask
from tasks.bars import advance
from tasks.config import EXECUTION_FIELDS
from tasks.discover_config import DiscoverConfig
from tasks.discover_crops import describe_crops
from tasks.discover_found import (
    FoundBlock,
    FoundImage,
    FoundObject,
    objectness_content,
    pack_descriptor,
    read_objectness,
    write_objectness,
)
from tasks.discover_methods import Found, batch_size, discover_images
from tasks.faults import STORAGE_RETRIES
from tasks.ops.discovery import read_scene
from tasks.ops.objectness import learn_objectness
from tasks.ops.patch_grid import unit
from tasks.ops.rle import encode_rle
from tasks.report_pictures import ImageView, SetLook, write_image
from tasks.report_records import ImageRecord
from tasks.reuse import finished, mark_finished
from tasks.sets import work_key
from tasks.stored import ImageDescriptors, read_descriptors

# Part of every result's key: raise it when the maths or the files change.
CODE = "discover-3"
# What decides how images are sorted, shown or cut into tasks, but not which objects are found.
_LATER = frozenset({"max_groups", "block", "pictures", "learned"})


@task(name="learn-objectness", task_run_name="learn what objects look like", **STORAGE_RETRIES)
def learn(store: str, names: Sequence[str], out: str, config: DiscoverConfig) -> str:
    """Write ``OUT/objectness.json``, learned from a sample of the stored images; its URL."""
    step = -(-len(names) // config.sample_images)
    images = read_descriptors(DescriptorStore.open(store), list(names)[::step])
    scenes = (read_scene(i.descriptors[None], i.saliency[None]) for i in images)
    learned = learn_objectness((scene.raw[0], scene.saliency[0]) for scene in scenes)
    return write_objectness(join(out, "objectness.json"), learned, config)


@task(name="discover-block", tags=["patchflow-discover"], **STORAGE_RETRIES)
def discover_block(
    store: str,
    names: tuple[str, ...],
    stems: tuple[str, ...],
    first: int,
    out: str,
    config: DiscoverConfig,
    learned: str | None,
) -> str:
    """Find the objects of some images, write their masks; URL of the block's folder.

    Args:
        stems: of the masks' files. first: number of the block's first image in the run.
        learned: URL of objectness.json, for the method that needs it.
    """
    started = time.perf_counter()
    opened = DescriptorStore.open(store)
    direction = read_objectness(learned, config) if learned else None
    settings = config.model_dump(mode="json", exclude=set(EXECUTION_FIELDS | _LATER))
    facts = {
        "config": settings,
        "first": first,
        "objectness": objectness_content(direction),
        "pictures": config.pictures,
        "grouped": config.max_groups > 0,
    }
    key = work_key(opened, names, facts, CODE)
    folder = join(out, "found", f"{first:07d}")
    if finished(folder, key, FoundBlock) is not None:
        return folder
    done: list[FoundImage] = []
    missing: list[tuple[str, str]] = []
    numbers = {name: number for number, name in enumerate(names)}
    pairs = _with_pictures(read_descriptors(opened, names), missing)
    for batch in _alike(pairs, config):
        images, pictures = zip(*batch, strict=True)
        for image, picture, found in zip(
            images, pictures, discover_images(images, pictures, config, direction), strict=True
        ):
            number = numbers[image.name]
            path = f"masks/{stems[number]}.png"
            write_mask(join(out, path), np.asarray(found.masks.any(axis=0), dtype=bool))
            record = None
            if config.pictures:
                record = _draw(image, picture, found, first + number, out, path)
            done.append(_found_image(image, picture, found, config, record))
            advance()
    block = FoundBlock(tuple(done), tuple(missing), time.perf_counter() - started)
    mark_finished(folder, key, block)
    return folder


def _with_pictures(
    images: Iterable[ImageDescriptors], missing: list[tuple[str, str]]
) -> Iterator[tuple[ImageDescriptors, np.ndarray]]:
    for image in images:
        try:
            yield image, read_image(image.ref)
        except UnreadableImageError as error:
            missing.append((image.name, error.reason))


def _alike(
    pairs: Iterable[tuple[ImageDescriptors, np.ndarray]], config: DiscoverConfig
) -> Iterator[list[tuple[ImageDescriptors, np.ndarray]]]:
    """Neighbours of one grid shape, as many at a time as are worth it."""
    batch: list[tuple[ImageDescriptors, np.ndarray]] = []
    for pair in pairs:
        shape = pair[0].grid.shape
        most = batch_size(config, shape[0] * shape[1])
        if batch and (len(batch) >= most or batch[0][0].grid.shape != shape):
            yield batch
            batch = []
        batch.append(pair)
    if batch:
        yield batch


def _draw(
    image: ImageDescriptors, picture: np.ndarray, found: Found, number: int, out: str, mask: str
) -> ImageRecord:
    labels = np.zeros(picture.shape[:2], dtype=np.int64)
    for label, inside in reversed(list(enumerate(found.masks, start=1))):
        labels[inside] = label
    view = ImageView(
        name=image.name,
        pixels=picture,
        grid=image.grid,
        saliency=image.saliency,
        heads=image.heads,
        objects=labels,
        boxes_xyxy=np.array(found.boxes_xyxy, dtype=np.float64).reshape(-1, 4),
    )
    reason = found.on_grid.reason
    notes = () if reason is None else (reason,)
    record = write_image(out, number, view, SetLook(), mask=mask, warnings=notes)
    if found.artefacts:
        record = replace(record, numbers={"artefact patches": found.artefacts})
    return record


def _found_image(
    image: ImageDescriptors,
    picture: np.ndarray,
    found: Found,
    config: DiscoverConfig,
    record: ImageRecord | None,
) -> FoundImage:
    descriptors = [""] * len(found.masks)
    if config.max_groups and config.group_by == "cls":
        wholes = describe_crops(picture, found.boxes_xyxy, config)
        descriptors = [pack_descriptor(unit(whole)) for whole in wholes]
    elif config.max_groups:
        descriptors = [pack_descriptor(_mean_patch(image, mask)) for mask in found.masks]
    objects = tuple(
        FoundObject(
            xyxy=(float(b[0]), float(b[1]), float(b[2]), float(b[3])),
            score=round(float(score), 4),
            counts=encode_rle(mask),
            descriptor=descriptor,
        )
        for mask, b, score, descriptor in zip(
            found.masks, found.boxes_xyxy, found.on_grid.scores, descriptors, strict=True
        )
    )
    height, width = picture.shape[:2]
    return FoundImage(image.name, width, height, objects, found.on_grid.reason, record)


def _mean_patch(image: ImageDescriptors, mask: np.ndarray) -> np.ndarray:
    """Mean of the unit descriptors of the patches whose centres lie in the mask, (D,)."""
    height, width = mask.shape
    at = np.floor(image.grid.centers_xy()).astype(int)
    inside = mask[at[:, 1].clip(0, height - 1), at[:, 0].clip(0, width - 1)]
    patches = unit(image.descriptors).reshape(-1, image.descriptors.shape[-1])
    if not inside.any():  # smaller than a patch: the nearest one stands for it
        ys, xs = np.nonzero(mask)
        centre = np.array([xs.mean(), ys.mean()])
        inside = np.arange(len(at)) == np.square(at - centre).sum(axis=1).argmin()
    return unit(patches[inside].mean(axis=0))
