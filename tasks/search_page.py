"""What a search found: a table, a contact sheet, and a page of the report."""

import numpy as np
from prefect import task

from storage.descriptors import DescriptorStore
from storage.errors import UnreadableImageError
from storage.files import join
from storage.images import list_images, read_image
from storage.results import write_csv, write_rgb
from tasks.faults import STORAGE_RETRIES
from tasks.ops.compose import ImageArray
from tasks.ops.draw_layout import contact_sheet, fitted
from tasks.report_records import ImageRecord, SetRecord, write_record
from tasks.search import SearchReport
from tasks.stored import source_of

COLUMNS = ("rank", "image", "x", "y", "similarity")
_PAGE = 100  # hits that have a crop on the page
_SHEET = 24  # and on the contact sheet
_SIDE = 320  # pixels of a crop, at most


@task(name="write-hits", **STORAGE_RETRIES)
def write_hits(
    store: str, image: str, point: tuple[float, float], report: SearchReport, out: str
) -> SearchReport:
    """Write hits.csv, hits.png with a crop around each of the first hits, and the page's record.

    Args:
        image, point: what was searched for, (x, y) in its pixels.
    """
    rows = [(i, f.image, f.x, f.y, f.similarity) for i, f in enumerate(report.hits, start=1)]
    write_csv(join(out, "hits.csv"), COLUMNS, rows)
    opened = DescriptorStore.open(store)
    query = list_images(image)[0]
    asked = crop_around(read_image(query), *point)
    records = [
        write_crop(out, 0, f"searched for: {query.name}", asked, {"x": point[0], "y": point[1]})
    ]
    crops, captions, missing = [], [], []
    for rank, hit in enumerate(report.hits[:_PAGE], start=1):
        try:
            crop = crop_around(read_image(source_of(opened.find(hit.image))), hit.x, hit.y)
        except UnreadableImageError as error:  # a picture that is gone costs its crop only
            missing.append((hit.image, error.reason))
            continue
        numbers = {"similarity": hit.similarity, "x": hit.x, "y": hit.y}
        records.append(write_crop(out, rank, f"{rank}: {hit.image}", crop, numbers))
        crops.append(crop)
        captions.append(f"{rank}: {hit.image.rpartition('/')[2]} {hit.similarity:.2f}")
    if crops:
        write_rgb(join(out, "hits.png"), contact_sheet(crops[:_SHEET], captions=captions[:_SHEET]))
    record = SetRecord(
        kind="search",
        name=f"{query.name} at {point[0]:g}, {point[1]:g}",
        images=tuple(records),
        numbers={
            "images": len(opened.index()),
            "patches": report.patches,
            "hits": len(report.hits),
        },
        notes=("crops around the most similar patches, which a cross marks",),
    )
    write_record(out, record)
    return SearchReport(report.patches, report.hits, tuple(missing))


def write_crop(
    folder: str, number: int, name: str, crop: ImageArray, numbers: dict[str, float]
) -> ImageRecord:
    """Write a crop for a page of the record in `folder`."""
    path = f"pictures/{number:05d}.jpg"
    if max(crop.shape[:2]) > _SIDE:
        crop = fitted(crop, _SIDE, _SIDE)
    write_rgb(join(folder, path), crop, quality=85)
    return ImageRecord(name, crop.shape[1], crop.shape[0], {"crop": path}, numbers=numbers)


def crop_around(pixels: ImageArray, x: float, y: float) -> ImageArray:
    """A square of 40 % of the shorter side around (x, y), moved into the image, a cross in it."""
    height, width = pixels.shape[:2]
    side = max(1, round(0.4 * min(height, width)))
    left = int(np.clip(round(x - side / 2), 0, width - side))
    top = int(np.clip(round(y - side / 2), 0, height - side))
    crop = pixels[top : top + side, left : left + side].copy()
    row, col = int(np.clip(y - top, 0, side - 1)), int(np.clip(x - left, 0, side - 1))
    arm = max(2, side // 20)
    crop[row, max(col - arm, 0) : col + arm + 1] = (255, 40, 40)
    crop[max(row - arm, 0) : row + arm + 1, col] = (255, 40, 40)
    return crop
