"""What the report takes over from the tasks' folders: pictures, movies and sketches."""

import base64
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from storage.errors import StorageError
from storage.files import join, read_bytes, write_bytes
from tasks.report_data import Page, image_files
from tasks.report_records import SketchRecord

_COPIES_AT_ONCE = 8
_SAFE_ID = re.compile(r"[A-Za-z0-9._-]+")


def copy_pictures(page: Page, report: str) -> tuple[Page, list[str]]:
    """Copy the page's pictures and movie into the report.

    Returns:
        The page without what could not be copied, and what that was, in words.
    """
    pictures = join(report, "pictures", page.slug)
    jobs = [
        (page.folder, path, join(pictures, name))
        for number, image in enumerate(page.record.images)
        for name, path in image_files(number, image).items()
    ]
    with ThreadPoolExecutor(_COPIES_AT_ONCE) as pool:
        problems = list(pool.map(_copied, jobs))
    lost = {path for (_, path, _), problem in zip(jobs, problems, strict=True) if problem}
    images = tuple(
        replace(
            image,
            pictures={k: v for k, v in image.pictures.items() if v not in lost},
            large={k: v for k, v in image.large.items() if v not in lost},
        )
        for image in page.record.images
    )
    record = replace(page.record, images=images)
    if record.movie:
        target = join(report, "pages", page.movie_file)
        problem = _copied((page.folder, record.movie, target))
        problems.append(problem)
        record = replace(record, movie=None) if problem else record
    return replace(page, record=record), [problem for problem in problems if problem]


def write_sketches(page: Page, report: str) -> list[str]:
    """Write each image's sketches as scripts, which a page on a disk can load when it needs to."""
    jobs = [
        (page, report, source, number)
        for source in page.record.sketches
        for number, image in enumerate(page.record.images)
        if source.id in image.sketches
    ]
    with ThreadPoolExecutor(_COPIES_AT_ONCE) as pool:
        return [problem for problem in pool.map(_sketched, jobs) if problem]


def _sketched(job: tuple[Page, str, SketchRecord, int]) -> str | None:
    page, report, source, number = job
    image = page.record.images[number]
    url = f"{page.folder}/{image.sketches[source.id]}"
    if image.grid is None or not _SAFE_ID.fullmatch(source.id):
        return f"{url}: expected a grid and an id of letters, digits, '.', '_' and '-'"
    try:
        content = read_bytes(join(page.folder, image.sketches[source.id]))
    except (OSError, StorageError) as error:
        return f"{url}: {error}"
    expected = image.grid.rows * image.grid.cols * len(source.scales)
    if len(content) != expected:
        return f"{url}: expected {expected} bytes, found {len(content)}"
    text = json.dumps([source.id, number, base64.b64encode(content).decode()])
    name = join(report, "data", page.slug, source.id, f"{number:05d}.js")
    write_bytes(name, f"patchflow.add(...{text});\n".encode())
    return None


def _copied(job: tuple[str, str, str]) -> str | None:
    folder, path, target = job
    try:
        write_bytes(target, read_bytes(join(folder, path)))
    except (OSError, StorageError) as error:
        return f"{folder}/{path}: {error}"
    return None
