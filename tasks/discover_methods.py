"""The settings' method of discovery, on images that were read from a store."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from tasks.discover_config import DiscoverConfig
from tasks.model import resolve_device
from tasks.ops.arrays import Array
from tasks.ops.boxes import grid_box_xyxy, pixel_box_xyxy
from tasks.ops.deep_spectral import deep_spectral
from tasks.ops.discovery import Discovery, artefacts, nothing, read_scene
from tasks.ops.lost import lost
from tasks.ops.objectness import Objectness, objects_of
from tasks.ops.preprocess import one_colour, to_image_size
from tasks.ops.salient_object import salient_object
from tasks.ops.token_cut import mask_cut, token_cut
from tasks.stored import ImageDescriptors

NOTHING_LEARNED = "nothing is salient in these images, so that no objects could be learned"
MOST_CUT = 20_000  # patches of an image whose graph is made: 1.6 GB
_CUTS = frozenset({"token_cut", "mask_cut", "deep_spectral"})  # lost makes no graph
_GPU_BATCH = 16  # images of one grid that a GPU cuts at once, at most
_GPU_BYTES = 2**32  # of their graphs together


@dataclass(frozen=True, slots=True)
class Found:
    """The objects of one image in its own pixels, best first.

    on_grid: what the method found, on the patch grid; of method objectness, which cuts at the
    image's resolution, masks and seeds are those of pixels. masks: (objects, H, W) bool.
    boxes_xyxy: (4,) each.
    artefacts: patches of outstanding norm, whose neighbours stood in for them.
    """

    on_grid: Discovery
    masks: np.ndarray
    boxes_xyxy: tuple[np.ndarray, ...]
    artefacts: int = 0


def batch_size(config: DiscoverConfig, patches: int) -> int:
    """How many images with so many patches each are worth working on at once."""
    if resolve_device(config.device) == "cpu":
        return 1
    return max(1, min(_GPU_BATCH, _GPU_BYTES // (4 * patches**2)))


def discover_images(
    images: Sequence[ImageDescriptors],
    pictures: Sequence[np.ndarray],
    config: DiscoverConfig,
    learned: Objectness | None = None,
) -> list[Found]:
    """Find the objects of images of one grid shape.

    Args:
        pictures: (H, W, 3) uint8 each; one of a single colour holds no object.
        learned: for method objectness; None where there was nothing to learn from.
    """
    patches = images[0].grid.rows * images[0].grid.cols
    if config.method in _CUTS and patches > MOST_CUT:
        reason = (
            f"{patches} patches: their graph would take {4e-9 * patches**2:.0f} GB; take a smaller "
            "--size, or --method objectness"
        )
        return [_nothing(image, reason) for image in images]
    if config.method == "objectness":
        found = [_by_objectness(image, config, learned) for image in images]
    else:
        found = _by_cuts(images, pictures, config)
    return [
        _nothing(image, "the picture is of one colour")
        if one_colour(picture)
        else replace(one, artefacts=int(artefacts(image.descriptors[None]).sum()))
        for one, image, picture in zip(found, images, pictures, strict=True)
    ]


def _nothing(image: ImageDescriptors, reason: str) -> Found:
    none = nothing(image.grid.shape, reason)
    return Found(none, np.zeros((0, *image.grid.image[::-1]), dtype=bool), ())


def _by_cuts(
    images: Sequence[ImageDescriptors], pictures: Sequence[np.ndarray], config: DiscoverConfig
) -> list[Found]:
    values: Array = np.stack([image.descriptors for image in images])
    device = resolve_device(config.device)
    if device != "cpu":  # a processor needs no torch, and less memory without it
        values = torch.from_numpy(values).to(device)
    saliency = np.stack([image.saliency for image in images])
    found = _by_method(values, saliency, pictures, config)
    return [_in_pixels(one, image) for one, image in zip(found, images, strict=True)]


def _by_method(
    values: Array, saliency: np.ndarray, pictures: Sequence[np.ndarray], config: DiscoverConfig
) -> list[Discovery]:
    if config.method == "token_cut":
        return token_cut(values, saliency, tau=config.tau, by_saliency=config.by_saliency)
    if config.method == "mask_cut":
        return mask_cut(values, saliency, tau=config.tau, objects=config.objects)
    if config.method == "lost":
        return lost(values, saliency, neighbours=config.neighbours, center=config.center)
    if config.method == "deep_spectral":
        shape = saliency.shape[:0:-1]
        colors = [cv2.resize(p, shape, interpolation=cv2.INTER_AREA) / 255 for p in pictures]
        return deep_spectral(
            values,
            saliency,
            colors=np.stack(colors),
            color_weight=config.color_weight,
            center=config.center,
        )
    return salient_object(values, saliency, objects=config.objects)


def _in_pixels(found: Discovery, image: ImageDescriptors) -> Found:
    masks = [to_image_size(mask, image.grid, nearest=True) for mask in found.masks]
    boxes = tuple(grid_box_xyxy(mask, image.grid) for mask in found.masks)
    shape = image.grid.image[::-1]
    return Found(found, np.array(masks, dtype=bool).reshape(-1, *shape), boxes)


def _by_objectness(
    image: ImageDescriptors, config: DiscoverConfig, learned: Objectness | None
) -> Found:
    """Cut at the image's resolution: a box from interpolated patches is finer than a patch."""
    scene = read_scene(image.descriptors[None], image.saliency[None])
    soft = np.zeros(scene.shape, dtype=np.float32)
    if learned is not None:
        soft = learned.soft(scene.raw[0]).reshape(scene.shape)
    pixels = to_image_size(soft, image.grid)
    saliency = to_image_size(scene.saliency[0], image.grid)
    found = objects_of(pixels, saliency, config.threshold, config.objects)
    reason = NOTHING_LEARNED if learned is None else found.reason
    boxes = tuple(pixel_box_xyxy(mask) for mask in found.masks)
    return Found(replace(found, soft=soft, reason=reason), found.masks, boxes)
