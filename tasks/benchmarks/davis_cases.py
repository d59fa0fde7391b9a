"""Pictures of the sequences that a reader of a video benchmark should look at."""

import numpy as np
from prefect import task

from storage.files import join, read_bytes
from storage.images import decode_image
from storage.results import read_indexed_png, write_rgb
from tasks.benchmarks.davis import DavisBenchmark, read_or_empty
from tasks.faults import STORAGE_RETRIES
from tasks.ops.compose import ImageArray
from tasks.ops.draw import mask_overlay
from tasks.ops.draw_layout import contact_sheet
from tasks.report_benchmark import extreme_cases, telling_score
from tasks.report_records import ImageRecord, SetRecord, write_record
from tasks.scores import Scores

FOLDER = "cases"
_FRAMES = 8  # of each sequence, evenly spaced
_CELL = (240, 135)


@task(name="draw-cases", task_run_name="worst, median and best sequences", **STORAGE_RETRIES)
def draw_cases(
    benchmark: DavisBenchmark, scores: Scores, out: str, *, numbered: bool = True
) -> int:
    """Write ``OUT/cases``: frames of the worst, median and best sequences (or objects) under the
    masks that were found and under the true ones. Returns how many were drawn.

    numbered: what was found bears the numbers of the true objects; else all of it is drawn.
    """
    cases = extreme_cases(scores.items, telling_score(scores.scores, scores.items))
    records = []
    for number, case in enumerate(name for names in cases.values() for name in names):
        sequence, _, label = case.partition("/")
        pictures = {}
        for layer in ("found", "truth"):
            masks = join(out, sequence, "masks") if layer == "found" else None
            one = int(label) if label and (numbered or masks is None) else None
            sheet = _sheet(benchmark, sequence, one, masks)
            pictures[layer] = f"pictures/{number:02d}-{layer}.jpg"
            write_rgb(join(out, FOLDER, pictures[layer]), sheet, quality=85)
        height, width = sheet.shape[:2]
        records.append(ImageRecord(case, width, height, pictures))
    if records:
        write_record(join(out, FOLDER), SetRecord("benchmark", FOLDER, tuple(records)))
    return len(records)


def _sheet(
    benchmark: DavisBenchmark, sequence: str, label: int | None, masks: str | None
) -> ImageArray:
    """Some frames under the masks of that folder, or under the true ones; one object or all."""
    stems = benchmark.frames[sequence]
    chosen = np.unique(np.linspace(0, len(stems) - 1, min(_FRAMES, len(stems))).round())
    drawn = []
    for stem in (stems[int(i)] for i in chosen):
        url = join(benchmark.clip(sequence), f"{stem}.jpg")
        picture = decode_image(read_bytes(url), url)
        if masks is None:
            labels = read_indexed_png(benchmark.truth(sequence, stem))
        else:
            labels = read_or_empty(join(masks, f"{stem}.png"), picture.shape[:2])
        drawn.append(mask_overlay(picture, labels > 0 if label is None else labels == label))
    return contact_sheet(drawn, columns=4, cell=_CELL, captions=[stems[int(i)] for i in chosen])
