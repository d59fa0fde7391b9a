"""A folder of results as tasks leave it, made of random descriptors, and a browser."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from storage.results import write_json, write_rgb
from tasks.ops.patch_grid import PatchGrid, plan_grid
from tasks.ops.voting import vote_salient
from tasks.report import write_report
from tasks.report_pictures import (
    ImageView,
    SetLook,
    cluster_records,
    set_look,
    write_image,
)
from tasks.report_records import (
    CurveRecord,
    ImageRecord,
    MatchRecord,
    SetRecord,
    TableRecord,
    write_missing,
    write_record,
)
from tasks.report_sketches import sketch_records

NAMES = ("a dog.jpg", "b/c&d.jpg", "<img src=x onerror=alert(1)>.png", "ünï.jpg", "last#1?.jpg")
CHANNELS = 40


@dataclass(frozen=True)
class Results:
    """The folder, and what went into its set with sketches."""

    out: Path
    descriptors: list[np.ndarray]
    grids: list[PatchGrid]
    look: SetLook


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Sets, a pair, a video and a benchmark, with a report over them."""
    out = tmp_path_factory.mktemp("report") / "out"
    made = _write_set(out)
    _write_pair(out)
    _write_video(out)
    metrics = {"benchmark": "pf", "scores": {"pck@0.10": 0.5}, "by_category": {"car": 0.25}}
    write_json(str(out / "bench" / "metrics.json"), metrics)
    write_missing(str(out), [("<img src=x onerror=alert(1)>.jpg", "the file is empty")])
    write_report(str(out), title="All <results>")
    return made


def _write_set(out: Path) -> Results:
    rng = np.random.default_rng(0)
    folder = str(out / "dogs")
    sizes = [(200, 150), (160, 160), (300, 120), (150, 200), (200, 150)]
    grids = [plan_grid(w, h, patch=14, stride=(7, 7), size=84) for w, h in sizes]
    mix = rng.normal(size=(8, CHANNELS))
    fields = [rng.normal(size=(g.rows, g.cols, 8)) @ mix for g in grids]
    saliency = [rng.random(g.shape) ** 3 for g in grids]
    labels = [(s * 3.999).astype(int) for s in saliency]
    look = set_look(fields, saliency, clusters=4, sources=["main"], channels=8, binned=True)
    images = []
    for n, (name, (width, height)) in enumerate(zip(NAMES, sizes, strict=True)):
        mask = np.zeros((height, width), bool)
        mask[height // 4 : height // 2, width // 4 : width // 2] = True
        view = ImageView(
            name=name,
            pixels=rng.integers(0, 255, (height, width, 3), np.uint8),
            grid=grids[n],
            saliency=saliency[n],
            clusters=labels[n],
            descriptors=fields[n],
            mask=mask,
            sketched={"main": fields[n]},
        )
        jaccard = None if n == 4 else 0.9 - 0.2 * n
        warnings = ["too dark"] if n == 1 else []
        images.append(write_image(folder, n, view, look, jaccard=jaccard, warnings=warnings))
    record = SetRecord(
        "coseg",
        "dogs",
        tuple(images),
        clusters=cluster_records(vote_salient(labels, saliency, clusters=4), look),
        tables=(TableRecord("Sizes", ("name", "area"), (("<b>", 1.0), ("x", None))),),
        sketches=sketch_records(look.sketches, {"main": "layer 9 token"}, fields),
        legend={"part 1": (250, 0, 0)},
        settings={"layer": 9},
        warnings=("one image is unlike the others",),
    )
    write_record(folder, record)
    return Results(out, fields, grids, look)


def _write_pair(out: Path) -> None:
    folder = out / "pairs" / "left right"
    images = []
    for name, (width, height) in (("l", (120, 80)), ("r", (90, 100))):
        write_rgb(str(folder / f"{name}.png"), np.full((height, width, 3), 99, np.uint8))
        images.append(ImageRecord(name, width, height, {"image": f"{name}.png"}))
    matches = (MatchRecord(60, 40, 45, 50, 0.9, 0.2), MatchRecord(30.5, 20, 9, 75, 0.8))
    write_record(str(folder), SetRecord("pair", "left and right", tuple(images), matches=matches))


def _write_video(out: Path) -> None:
    folder = out / "clip"
    frames = []
    for n in range(6):
        pictures = {"image": f"pictures/{n}.jpg", "overlay": f"pictures/{n}-o.png"}
        for path in pictures.values():
            write_rgb(str(folder / path), np.full((48, 64, 3), 40 * n, np.uint8))
        frames.append(ImageRecord(f"{n:05d}", 64, 48, pictures))
    curve = CurveRecord("Mask area", {"object": (0.1, 0.2, None, 0.4, 0.5, 0.6)})
    write_record(str(folder), SetRecord("video", "clip", tuple(frames), curves=(curve,)))
