"""What a discovery leaves: boxes.json in COCO's results format, groups of objects, a page."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from prefect import task
from prefect.artifacts import create_table_artifact

from storage.files import join, read_bytes
from storage.images import decode_image
from storage.results import write_json, write_rgb
from tasks.discover import FoundBlock, FoundImage, FoundObject, read_blocks, unpack_descriptor
from tasks.discover_config import DiscoverConfig
from tasks.faults import STORAGE_RETRIES
from tasks.ops.draw_layout import contact_sheet
from tasks.ops.kmeans import assign, elbow_kmeans
from tasks.report_records import ImageRecord, SetRecord, TableRecord, write_record

_SHOWN = 24  # crops of a group
_PAGE = 2000  # images of the report's page


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


@dataclass(frozen=True, slots=True)
class Group:
    """Objects that look alike. members: (image, object) indices, most typical first."""

    name: str
    members: tuple[tuple[int, int], ...]


@task(name="collect", task_run_name="write boxes.json and groups", **STORAGE_RETRIES)
def collect(
    folders: Sequence[str], source: str, out: str, config: DiscoverConfig
) -> DiscoverTotals:
    """Join the blocks: boxes.json, images.json, groups.json and the pages of the report.

    ``boxes.json`` is a list of COCO results, ``images.json`` the dataset that it refers to:
    ``COCO("images.json").loadRes("boxes.json")``.
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
        _write_pages(images, groups, source, out, config)
    return _totals(blocks, images, groups, url)


def group_objects(images: Sequence[FoundImage], most: int, seed: int = 0) -> list[Group]:
    """Sort all objects into at most `most` groups by their descriptors, largest group first."""
    where = [(i, j) for i, image in enumerate(images) for j in range(len(image.objects))]
    if not most or len(where) < 2:
        return []
    points = np.stack([unpack_descriptor(images[i].objects[j].descriptor) for i, j in where])
    # Objects of a set share much (all are "objects"): what they differ in is about their mean.
    points = points - points.mean(axis=0)
    points /= np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-6)
    step = -(-len(points) // 5000)
    clusters = elbow_kmeans(points, max_clusters=most, elbow=0.97, sample_step=step, seed=seed)
    labels = assign(points, clusters.centers)
    nearness = (points * clusters.centers[labels]).sum(axis=1)
    found: list[tuple[tuple[int, int], ...]] = []
    for label in range(len(clusters.centers)):
        inside = np.flatnonzero(labels == label)
        order = inside[np.argsort(-nearness[inside], kind="stable")]
        if len(order):
            found.append(tuple(where[k] for k in order))
    found.sort(key=len, reverse=True)
    return [Group(f"group {number:02d}", members) for number, members in enumerate(found, 1)]


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


def _write_pages(
    images: Sequence[FoundImage],
    groups: Sequence[Group],
    source: str,
    out: str,
    config: DiscoverConfig,
) -> None:
    name = source.rstrip("/").rpartition("/")[2] or "images"
    count = sum(len(image.objects) for image in images)
    table = TableRecord(
        title="Groups of objects",
        columns=("group", "objects", "share", "most typical"),
        rows=tuple(
            (g.name, len(g.members), round(len(g.members) / count, 3), images[g.members[0][0]].name)
            for g in groups
        ),
    )
    records = tuple(image.record for image in images[:_PAGE] if image.record is not None)
    page = SetRecord(
        kind="discover",
        name=name,
        images=records,
        tables=(table,) if groups else (),
        numbers={"images": len(images), "objects": count, "groups": len(groups)},
        settings=config.model_dump(mode="json"),
    )
    write_record(out, page)
    if groups:
        folder = join(out, "groups")
        shown = tuple(_group_record(group, n, images, out) for n, group in enumerate(groups))
        overview = SetRecord(
            kind="discover",
            name=f"{name}: what is in it",
            images=tuple(record for record in shown if record),
            tables=(table,),
            notes=(f"the {_SHOWN} most typical objects of each group, most typical first",),
        )
        write_record(folder, overview)


def _group_record(
    group: Group, number: int, images: Sequence[FoundImage], out: str
) -> ImageRecord | None:
    crops = []
    for i, j in group.members[:_SHOWN]:
        left, top, right, bottom = images[i].objects[j].xyxy
        record = images[i].record
        if record is None:
            continue
        small = record.pictures["image"]
        picture = decode_image(read_bytes(join(out, small)), small)
        scale = picture.shape[1] / images[i].width
        rows = slice(int(top * scale), max(int(bottom * scale), int(top * scale) + 1))
        cols = slice(int(left * scale), max(int(right * scale), int(left * scale) + 1))
        crop = picture[rows, cols]
        if crop.size:
            crops.append(crop)
    if not crops:
        return None
    sheet = contact_sheet(crops, columns=6, cell=(120, 120))
    path = f"pictures/{number:05d}-objects.jpg"
    write_rgb(join(out, "groups", path), sheet)
    return ImageRecord(
        name=f"{group.name}: {len(group.members)} objects",
        width=sheet.shape[1],
        height=sheet.shape[0],
        pictures={"image": path},
        numbers={"objects": len(group.members)},
    )
