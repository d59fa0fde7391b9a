"""The report's pages of a discovery: the images with their boxes, and what is in them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from storage.files import join, read_bytes, remove
from storage.images import decode_image
from storage.results import write_rgb
from tasks.discover_config import DiscoverConfig
from tasks.discover_crops import crop
from tasks.discover_found import FoundImage
from tasks.discover_groups import Group
from tasks.discover_layer import LayerChoice
from tasks.ops.draw_layout import fitted
from tasks.report_records import (
    PICTURES,
    ImageRecord,
    SetRecord,
    TableRecord,
    picture_files,
    write_record,
)
from tasks.reuse import remove_others

_SHOWN = 12  # objects of a group
_CELL = (240, 240)  # pixels of a crop, at most
_PAGE = 2000  # images of the report's page


def write_pages(
    images: Sequence[FoundImage],
    groups: Sequence[Group],
    source: str,
    out: str,
    config: DiscoverConfig,
    choice: LayerChoice | None,
    doubts: tuple[str, ...],
) -> None:
    """Leave the page of the images and, where there are groups, the overview of what they hold.

    Args:
        choice: how layer and facet were chosen. doubts: what speaks against them.
    """
    page = _page(images, groups, source, config)
    if choice:
        page = replace(page, tables=(*page.tables, choice.table), notes=(choice.reason,))
    write_record(out, replace(page, warnings=doubts))
    if groups:
        _write_overview(images, groups, page, out)
    else:
        remove(join(out, "groups"))  # an earlier run's


def _page(
    images: Sequence[FoundImage], groups: Sequence[Group], source: str, config: DiscoverConfig
) -> SetRecord:
    """The page of the images."""
    count = sum(len(image.objects) for image in images)
    table = TableRecord(
        title="Groups of objects",
        columns=("group", "objects", "share", "most typical"),
        rows=tuple(
            (g.name, len(g.members), round(len(g.members) / count, 3), images[g.members[0][0]].name)
            for g in groups
        ),
    )
    return SetRecord(
        kind="discover",
        name=source.rstrip("/").rpartition("/")[2].removesuffix(".txt") or "images",
        images=tuple(image.record for image in images[:_PAGE] if image.record is not None),
        tables=(table,) if groups else (),
        numbers={"images": len(images), "objects": count, "groups": len(groups)},
        settings=config.model_dump(mode="json"),
    )


def _write_overview(
    images: Sequence[FoundImage], groups: Sequence[Group], page: SetRecord, out: str
) -> None:
    """The page "what is in it": the most typical objects of each group."""
    shown = tuple(_group_record(group, n, images, out) for n, group in enumerate(groups))
    overview = SetRecord(
        kind="discover",
        name=f"{page.name}: what is in it",
        images=tuple(record for record in shown if record),
        tables=page.tables[:1],
        numbers=page.numbers,
        notes=(f"at most {_SHOWN} objects of each group, most typical first",),
    )
    write_record(join(out, "groups"), overview)
    remove_others(join(out, "groups", PICTURES), picture_files(overview.images))


def _group_record(
    group: Group, number: int, images: Sequence[FoundImage], out: str
) -> ImageRecord | None:
    pictures: dict[str, str] = {}
    for i, j in group.members[:_SHOWN]:
        record = images[i].record
        if record is None:
            continue
        small = record.pictures["image"]
        picture = decode_image(read_bytes(join(out, small)), small)
        scale = picture.shape[1] / images[i].width
        cut = fitted(crop(picture, scale * np.array(images[i].objects[j].xyxy)), *_CELL)
        place = len(pictures) + 1
        path = f"pictures/{number:05d}-{place:02d}.jpg"
        write_rgb(join(out, "groups", path), cut)
        pictures[f"no. {place}"] = path
    if not pictures:
        return None
    return ImageRecord(
        name=group.name,
        width=_CELL[0],
        height=_CELL[1],
        pictures=pictures,
        numbers={"objects": len(group.members)},
    )
