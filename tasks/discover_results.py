"""What a discovery leaves: boxes.json in COCO's results format, groups of objects, totals."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from prefect import task
from prefect.artifacts import create_table_artifact

from storage.files import basename, join, list_folder, remove
from storage.results import write_json
from tasks.discover_config import DiscoverConfig
from tasks.discover_found import FoundBlock, FoundImage, FoundObject, read_blocks
from tasks.discover_groups import Group, group_objects
from tasks.discover_layer import LayerChoice
from tasks.discover_pages import write_pages
from tasks.faults import STORAGE_RETRIES
from tasks.report_records import PICTURES
from tasks.reuse import remove_others


@dataclass(frozen=True, slots=True)
class DiscoverTotals:
    """Counts of a run. empty: images without an object. boxes: URL of boxes.json. missing:
    images that could not be read, with the reason.
    """

    images: int
    objects: int
    empty: int
    groups: int
    boxes: str
    missing: tuple[tuple[str, str], ...]


@task(name="collect", task_run_name="write boxes.json and groups", **STORAGE_RETRIES)
def collect(
    folders: Sequence[str],
    source: str,
    out: str,
    config: DiscoverConfig,
    stems: Sequence[str],
    choice: LayerChoice | None = None,
    doubts: tuple[str, ...] = (),
) -> DiscoverTotals:
    """Join the blocks: boxes.json, images.json, groups.json and the pages of the report. What an
    earlier run left of images that are gone is removed.

    ``boxes.json`` is a list of COCO results, ``images.json`` the dataset that it refers to:
    ``COCO("images.json").loadRes("boxes.json")``.

    Args:
        stems: of the masks' files, of all images in their order.
        choice: how layer and facet were chosen, for the report. doubts: what speaks against them.
    """
    blocks = read_blocks(folders)
    images = [image for block in blocks for image in block.images]
    groups = group_objects(images, config.max_groups)
    group_of = {member: number for number, g in enumerate(groups, 1) for member in g.members}
    ids = image_ids([image.name for image in images])
    boxes = [
        coco_result(ids[i], image, found, group_of.get((i, j)))
        for i, image in enumerate(images)
        for j, found in enumerate(image.objects)
    ]
    url = write_json(join(out, "boxes.json"), boxes)
    write_json(join(out, "images.json"), coco_images(images, ids))
    content = [_group_content(group, images, ids) for group in groups]
    write_json(join(out, "groups.json"), content)
    if config.pictures:
        write_pages(images, groups, source, out, config, choice, doubts)
    remove_gone(out, stems)
    return _totals(blocks, images, groups, url)


def remove_gone(out: str, stems: Sequence[str]) -> None:
    """Remove masks that are none of `stems`, pictures and blocks of higher numbers."""
    remove_others(join(out, "masks"), (f"{stem}.png" for stem in stems))
    pictures, blocks = join(out, PICTURES), join(out, "found")
    found = [join(pictures, name) for name in list_folder(pictures)]
    found += [join(blocks, name) for name in list_folder(blocks, "directory")]
    for url in found:
        number = basename(url).partition("-")[0]
        if number.isdecimal() and int(number) >= len(stems):
            remove(url)


def image_ids(names: Sequence[str]) -> list[int]:
    """COCO ids: the number that ends each name's stem where these differ, else the position."""
    ends = [re.search(r"(\d+)$", PurePosixPath(name).stem) for name in names]
    numbers = [int(end.group(1)) for end in ends if end]
    if len(numbers) == len(names) == len(set(numbers)):
        return numbers
    return list(range(1, len(names) + 1))


def coco_result(
    image_id: int, image: FoundImage, found: FoundObject, group: int | None
) -> dict[str, object]:
    """One entry of boxes.json. The one category is 1, "object"; `group` is ours."""
    left, top, right, bottom = found.xyxy
    return {
        "image_id": image_id,
        "category_id": 1,
        "bbox": [round(v, 2) for v in (left, top, right - left, bottom - top)],
        "score": found.score,
        "segmentation": {"size": [image.height, image.width], "counts": found.counts},
        "group": group,
    }


def coco_images(images: Sequence[FoundImage], ids: Sequence[int]) -> dict[str, object]:
    """The dataset without annotations that boxes.json refers to."""
    entries = [
        {
            "id": number,
            "file_name": i.name,
            "width": i.width,
            "height": i.height,
            "reason": i.reason,
        }
        for number, i in zip(ids, images, strict=True)
    ]
    return {
        "info": {"description": "patchflow discover"},
        "images": entries,
        "annotations": [],
        "categories": [{"id": 1, "name": "object"}],
    }


def _group_content(
    group: Group, images: Sequence[FoundImage], ids: Sequence[int]
) -> dict[str, object]:
    return {
        "name": group.name,
        "objects": len(group.members),
        "members": [
            {"image_id": ids[i], "file_name": images[i].name, "object": j} for i, j in group.members
        ],
    }


def _totals(
    blocks: Sequence[FoundBlock], images: Sequence[FoundImage], groups: Sequence[Group], url: str
) -> DiscoverTotals:
    totals = DiscoverTotals(
        images=len(images),
        objects=sum(len(image.objects) for image in images),
        empty=sum(not image.objects for image in images),
        groups=len(groups),
        boxes=url,
        missing=tuple(entry for block in blocks for entry in block.missing),
    )
    rows = [{"group": g.name, "objects": len(g.members)} for g in groups]
    if rows:
        create_table_artifact(table=rows, key="groups", description=f"{totals.objects} objects")
    return totals
