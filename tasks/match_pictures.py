"""A pair's page of the report: both images, their matches, and one seen through a dense flow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from storage.files import join
from storage.results import write_rgb
from tasks.match_config import MatchConfig
from tasks.matching import View
from tasks.ops.draw_layout import fitted
from tasks.ops.flow import warp
from tasks.report_pictures import PICTURE_SIDE, ImageView, SetLook, write_image
from tasks.report_records import ImageRecord, MatchRecord, SetRecord, write_record


@dataclass(frozen=True, slots=True)
class FlowPicture:
    """One flow to be drawn: the second image as it looks from the first.

    layer: name of the picture. xy: (H, W, 2) positions of the first image's pixels in the
    second. seen: (H, W) bool, where it is drawn.
    """

    layer: str
    xy: np.ndarray
    seen: np.ndarray


def write_pair(
    folder: str,
    name: str,
    views: Sequence[View],
    pixels: Sequence[np.ndarray],
    config: MatchConfig,
    *,
    flows: Sequence[FlowPicture] = (),
    matches: Sequence[MatchRecord] = (),
    numbers: Mapping[str, int | float | None] | None = None,
    warnings: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> None:
    """Write a pair's pictures and its record below `folder`.

    Args:
        views, pixels: of the two images.
    """
    images = [
        write_image(
            folder,
            number,
            ImageView(short(view.name), picture, view.grid, saliency=view.saliency),
            SetLook(),
        )
        for number, (view, picture) in enumerate(zip(views, pixels, strict=True))
    ]
    for flow in flows:
        images[0] = _with_flow(folder, images[0], pixels[1], flow)
    record = SetRecord(
        kind="pair",
        name=name,
        images=tuple(images),
        matches=tuple(matches),
        numbers=dict(numbers or {}),
        warnings=tuple(warnings),
        notes=tuple(notes),
        settings=config.model_dump(mode="json"),
    )
    write_record(folder, record)


def warped(target: np.ndarray, xy: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The target (H', W', 3) from where the source's pixels lie in it, white where not `seen`."""
    return warp(target, np.where(seen[..., None], xy, np.nan))


def _with_flow(
    folder: str, image: ImageRecord, target: np.ndarray, flow: FlowPicture
) -> ImageRecord:
    picture = warped(target, flow.xy, flow.seen)
    if max(picture.shape[:2]) > PICTURE_SIDE:
        picture = fitted(picture, PICTURE_SIDE, PICTURE_SIDE)
    path = f"pictures/00000-{flow.layer}.jpg"
    write_rgb(join(folder, path), picture, quality=85)
    return replace(image, pictures={**image.pictures, flow.layer: path})


def short(name: str) -> str:
    """An image's name without its folders."""
    return name.rpartition("/")[2]
