"""The pages of a dataset clustering: some images by cluster, and what each cluster holds."""

from typing import Any

import numpy as np
from prefect import task

from storage.codebooks import read_codebook
from storage.descriptors import DescriptorStore
from storage.errors import UnreadableImageError
from storage.files import join
from storage.images import read_image
from storage.results import read_json, write_rgb
from tasks.cluster import CODEBOOK, SUMMARY, image_distances
from tasks.faults import STORAGE_RETRIES
from tasks.ops.draw import palette
from tasks.ops.draw_layout import fitted
from tasks.parts_config import ClusterConfig
from tasks.report_pictures import ImageView, set_look, write_image
from tasks.report_records import (
    PICTURES,
    ImageRecord,
    SetRecord,
    TableRecord,
    picture_files,
    write_record,
)
from tasks.reuse import remove_others
from tasks.search_page import crop_around
from tasks.stored import read_descriptors, source_of

_IMAGES = 24  # shown with their clusters
_CLUSTERS = 64  # shown by what they hold, the largest first
_SIDE = 240  # pixels of a crop, at most


@task(name="cluster-pages", **STORAGE_RETRIES)
def write_cluster_pages(store: str, out: str, config: ClusterConfig) -> None:
    """Leave the records of both pages below `out`, from what `cluster_store` wrote there.

    Pictures that are gone since they were stored are left out.
    """
    opened = DescriptorStore.open(store)
    arrays, _ = read_codebook(join(out, CODEBOOK))
    rows = read_json(join(out, SUMMARY))
    total = max(sum(row["patches"] for row in rows), 1)
    table = TableRecord(
        "Clusters",
        ("cluster", "patches", "share", "nearest image"),
        tuple(
            (row["cluster"], row["patches"], row["patches"] / total, row["nearest"][0]["name"])
            for row in rows
        ),
    )
    name = store.rstrip("/").rpartition("/")[2]
    record = SetRecord(
        kind="cluster",
        name=f"{name} by cluster",
        images=_images(opened, arrays["centers"], out, config),
        tables=(table,),
        legend={
            f"cluster {number}": (int(red), int(green), int(blue))
            for number, (red, green, blue) in enumerate(palette(len(rows))[:_CLUSTERS])
        },
        numbers={"images": len(opened.index()), "clusters": len(rows), "patches": total},
        settings=config.model_dump(mode="json"),
    )
    write_record(out, record)
    remove_others(join(out, PICTURES), picture_files(record.images))
    largest = sorted(rows, key=lambda row: -row["patches"])[:_CLUSTERS]
    inside = SetRecord(
        kind="cluster",
        name=f"{name}: what each cluster holds",
        images=tuple(_held(opened, row, n, out) for n, row in enumerate(largest)),
        numbers=record.numbers,
        notes=("the patch nearest to each centre, which a cross marks, in the nearest images",),
    )
    write_record(join(out, "clusters"), inside)
    remove_others(join(out, "clusters", PICTURES), picture_files(inside.images))


def _images(
    store: DescriptorStore, centers: np.ndarray, out: str, config: ClusterConfig
) -> tuple[ImageRecord, ...]:
    """Some images, evenly spread over the store, with the cluster of each patch."""
    names = list(store.index())
    chosen = list(read_descriptors(store, names[:: -(-len(names) // _IMAGES)]))
    look = set_look(
        [one.descriptors for one in chosen], [one.saliency for one in chosen], clusters=len(centers)
    )
    records = []
    for number, one in enumerate(chosen):
        try:
            pixels = read_image(one.ref)
        except UnreadableImageError:
            continue
        view = ImageView(
            one.name,
            pixels,
            one.grid,
            saliency=one.saliency,
            clusters=image_distances(store, one.name, centers, config).argmin(axis=2),
            descriptors=one.descriptors,
        )
        records.append(write_image(out, number, view, look))
    return tuple(records)


def _held(store: DescriptorStore, row: dict[str, Any], number: int, out: str) -> ImageRecord:
    """One cluster by the patches nearest to its centre."""
    pictures: dict[str, str] = {}
    width = height = 1
    for place, found in enumerate(row["nearest"], start=1):
        try:
            pixels = read_image(source_of(store.find(found["name"])))
        except UnreadableImageError:
            continue
        crop = fitted(crop_around(pixels, found["x"], found["y"]), _SIDE, _SIDE)
        height, width = crop.shape[:2]
        pictures[f"no. {place}"] = f"pictures/{number:05d}-{place:02d}.jpg"
        write_rgb(join(out, "clusters", pictures[f"no. {place}"]), crop, quality=85)
    label = f"cluster {row['cluster']}"
    return ImageRecord(label, width, height, pictures, numbers={"patches": row["patches"]})
