"""Object discovery tasks: learn what objects look like, then find them block by block."""

import base64
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from prefect import task
from pydantic import TypeAdapter

from storage.descriptors import DescriptorStore
from storage.errors import UnreadableImageError
from storage.files import join
from storage.images import read_image
from storage.results import read_json, write_json, write_mask
from tasks.config import EXECUTION_FIELDS
from tasks.discover_config import DiscoverConfig
from tasks.faults import STORAGE_RETRIES
from tasks.model import resolve_device
from tasks.ops.arrays import Array
from tasks.ops.boxes import grid_box_xyxy, pixel_box_xyxy
from tasks.ops.deep_spectral import deep_spectral
from tasks.ops.discovery import Discovery, read_scene
from tasks.ops.lost import lost
from tasks.ops.objectness import Objectness, learn_objectness, objects_of
from tasks.ops.patch_grid import unit
from tasks.ops.preprocess import to_image_size
from tasks.ops.rle import encode_rle
from tasks.ops.salient_object import salient_object
from tasks.ops.token_cut import mask_cut, token_cut
from tasks.report_pictures import ImageView, SetLook, write_image
from tasks.report_records import ImageRecord
from tasks.reuse import finished, mark_finished
from tasks.sets import work_key
from tasks.stored import ImageDescriptors, read_descriptors

# Part of every result's key: raise it when the maths or the files change.
CODE = "discover-1"
NOTHING_LEARNED = "nothing is salient in these images, so that no objects could be learned"
# What decides how images are sorted, shown or cut into tasks, but not which objects are found.
_LATER = frozenset({"max_groups", "block", "pictures", "learned"})


@dataclass(frozen=True, slots=True)
class FoundObject:
    """One object. xyxy: its box in original pixels. counts: its mask in COCO's run lengths.
    descriptor: mean of its patches' unit descriptors, (D,) float16 as base64.
    """

    xyxy: tuple[float, float, float, float]
    score: float
    counts: str
    descriptor: str


@dataclass(frozen=True, slots=True)
class FoundImage:
    """One image and its objects, best first. reason: why there is none, or what is doubtful."""

    name: str
    width: int
    height: int
    objects: tuple[FoundObject, ...]
    reason: str | None = None
    record: ImageRecord | None = None


@dataclass(frozen=True, slots=True)
class FoundBlock:
    """What became of one block. missing: images that could not be read, with the reason."""

    images: tuple[FoundImage, ...]
    missing: tuple[tuple[str, str], ...]
    seconds: float


@task(name="learn-objectness", task_run_name="learn what objects look like", **STORAGE_RETRIES)
def learn(store: str, names: Sequence[str], out: str, config: DiscoverConfig) -> str:
    """Write ``OUT/objectness.json``, learned from a sample of the stored images; its URL."""
    step = -(-len(names) // config.sample_images)
    sample = list(read_descriptors(DescriptorStore.open(store), list(names)[::step]))
    scenes = [read_scene(i.descriptors[None], i.saliency[None]) for i in sample]
    learned = learn_objectness(
        [s.raw[0] for s in scenes], [s.saliency.ravel() for s in scenes]
    )
    return write_json(join(out, "objectness.json"), _dump(learned))


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
    direction = _load(learned) if learned else None
    settings = config.model_dump(mode="json", exclude=set(EXECUTION_FIELDS | _LATER))
    facts = {"config": settings, "first": first, "objectness": _dump(direction)}
    key = work_key(opened, names, facts | {"pictures": config.pictures}, CODE)
    folder = join(out, "found", f"{first:07d}")
    if finished(folder, key, FoundBlock) is not None:
        return folder
    found: list[FoundImage] = []
    missing: list[tuple[str, str]] = []
    images = read_descriptors(opened, names)
    for number, (image, stem) in enumerate(zip(images, stems, strict=True), start=first):
        try:
            found.append(_one_image(image, stem, number, out, config, direction))
        except UnreadableImageError as error:
            missing.append((image.name, error.reason))
    block = FoundBlock(tuple(found), tuple(missing), time.perf_counter() - started)
    mark_finished(folder, key, block)
    return folder


def read_block(folder: str) -> FoundBlock:
    """What `discover_block` left in `folder`."""
    report = read_json(join(folder, "result.json"))["report"]
    return TypeAdapter(FoundBlock).validate_python(report)


def read_blocks(folders: Iterable[str]) -> list[FoundBlock]:
    """All blocks, in the order of their images."""
    return [read_block(folder) for folder in sorted(folders)]


def discover_image(
    image: ImageDescriptors, config: DiscoverConfig, learned: Objectness | None
) -> tuple[Discovery, np.ndarray, list[np.ndarray]]:
    """Find the objects of one image, in memory.

    Returns:
        what was found on the grid; masks (objects, H, W) and boxes xyxy in original pixels.
    """
    if config.method == "objectness":
        return _by_objectness(image, config, learned)
    values: Array = image.descriptors[None]
    device = resolve_device(config.device)
    if device != "cpu":
        values = torch.from_numpy(values).to(device)
    saliency = image.saliency[None]
    if config.method == "token_cut":
        (found,) = token_cut(values, saliency, tau=config.tau, by_saliency=config.by_saliency)
    elif config.method == "mask_cut":
        (found,) = mask_cut(values, saliency, tau=config.tau, objects=config.objects)
    elif config.method == "lost":
        (found,) = lost(values, saliency, neighbours=config.neighbours, center=config.center)
    elif config.method == "deep_spectral":
        (found,) = deep_spectral(values, saliency, center=config.center)
    else:
        (found,) = salient_object(values, saliency, objects=config.objects)
    shape = image.grid.image[::-1]
    masks = [to_image_size(mask, image.grid, nearest=True) for mask in found.masks]
    boxes = [grid_box_xyxy(mask, image.grid) for mask in found.masks]
    return found, np.array(masks, dtype=bool).reshape(-1, *shape), boxes


def unpack_descriptor(text: str) -> np.ndarray:
    """(D,) float32 of `FoundObject.descriptor`."""
    return np.frombuffer(base64.b64decode(text), dtype=np.float16).astype(np.float32)


def _by_objectness(
    image: ImageDescriptors, config: DiscoverConfig, learned: Objectness | None
) -> tuple[Discovery, np.ndarray, list[np.ndarray]]:
    """Cut at the image's resolution: a box from interpolated patches is finer than a patch."""
    scene = read_scene(image.descriptors[None], image.saliency[None])
    soft = np.zeros(scene.shape, dtype=np.float32)
    if learned is not None:
        soft = learned.soft(scene.raw[0]).reshape(scene.shape)
    pixels = to_image_size(soft, image.grid)
    saliency = to_image_size(scene.saliency[0], image.grid)
    found = objects_of(pixels, saliency, config.threshold, config.objects)
    reason = NOTHING_LEARNED if learned is None else found.reason
    boxes = [pixel_box_xyxy(mask) for mask in found.masks]
    return replace(found, soft=soft, reason=reason), found.masks, boxes


def _one_image(
    image: ImageDescriptors,
    stem: str,
    number: int,
    out: str,
    config: DiscoverConfig,
    learned: Objectness | None,
) -> FoundImage:
    picture = read_image(image.ref)
    found, masks, boxes = discover_image(image, config, learned)
    path = f"masks/{stem}.png"
    write_mask(join(out, path), np.asarray(masks.any(axis=0), dtype=bool))
    record = None
    if config.pictures:
        labels = np.zeros(picture.shape[:2], dtype=np.int64)
        for label, mask in reversed(list(enumerate(masks, start=1))):
            labels[mask] = label
        view = ImageView(
            name=image.name,
            pixels=picture,
            grid=image.grid,
            saliency=image.saliency,
            objects=labels,
            boxes_xyxy=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        )
        notes = () if found.reason is None else (found.reason,)
        record = write_image(out, number, view, SetLook(), mask=path, warnings=notes)
    objects = tuple(
        FoundObject(
            xyxy=(float(b[0]), float(b[1]), float(b[2]), float(b[3])),
            score=round(float(score), 4),
            counts=encode_rle(mask),
            descriptor=_descriptor(image, mask),
        )
        for mask, b, score in zip(masks, boxes, found.scores, strict=True)
    )
    height, width = picture.shape[:2]
    return FoundImage(image.name, width, height, objects, found.reason, record)


def _descriptor(image: ImageDescriptors, mask: np.ndarray) -> str:
    """Mean of the unit descriptors of the patches whose centres lie in the mask."""
    height, width = mask.shape
    at = np.floor(image.grid.centers_xy()).astype(int)
    inside = mask[at[:, 1].clip(0, height - 1), at[:, 0].clip(0, width - 1)]
    patches = unit(image.descriptors).reshape(-1, image.descriptors.shape[-1])
    if not inside.any():  # smaller than a patch: the nearest one stands for it
        ys, xs = np.nonzero(mask)
        centre = np.array([xs.mean(), ys.mean()])
        inside = np.arange(len(at)) == np.square(at - centre).sum(axis=1).argmin()
    mean = unit(patches[inside].mean(axis=0))
    return base64.b64encode(mean.astype(np.float16).tobytes()).decode()


def _dump(learned: Objectness | None) -> dict[str, object] | None:
    if learned is None:
        return None
    return {
        "direction": [float(v) for v in learned.direction],
        "background": learned.background,
        "object": learned.object,
        "separation": learned.separation,
        "share": learned.share,
        "rounds": learned.rounds,
        "changed": learned.changed,
    }


def _load(url: str) -> Objectness | None:
    content = read_json(url)
    if content is None:
        return None
    try:
        direction = np.array(content["direction"], dtype=np.float32)
        return Objectness(**content | {"direction": direction})
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{url} is no objectness.json of `patchflow discover` ({error}); leave --learned out"
        ) from error
