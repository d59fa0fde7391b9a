"""Keypoints of one image carried to another."""

from dataclasses import dataclass

import numpy as np
from prefect import task

from storage.descriptors import DescriptorStore
from storage.files import join
from storage.images import read_image
from storage.results import write_csv, write_rgb
from tasks.correspond import ImagePair
from tasks.faults import STORAGE_RETRIES
from tasks.match_config import MatchConfig
from tasks.match_pictures import short, write_pair
from tasks.matching import View, compare, transfer_points, views_of
from tasks.ops.draw_layout import match_picture
from tasks.report_records import MatchRecord
from tasks.tables import read_table


@dataclass(frozen=True, slots=True)
class TransferReport:
    """What became of the keypoints. confidence: their mean."""

    points: int
    confidence: float


@task(name="transfer-keypoints", tags=["patchflow-correspond"], **STORAGE_RETRIES)
def transfer_keypoints(
    store: str, pair: ImagePair, keypoints: str, out: str, config: MatchConfig
) -> TransferReport:
    """Write keypoints.csv, with x, y in the target image, transfer.png and the page's record.

    Raises:
        ValueError: keypoints without columns x,y, with a value that is no number, or outside
            the source.
    """
    rows = read_keypoints(keypoints)
    xy = np.array([[float(row["x"]), float(row["y"])] for row in rows])
    source, target = views_of(DescriptorStore.open(store), [pair.source, pair.target], config)
    _check_inside(xy, source, keypoints)
    points = transfer_points(compare(source, target, config), xy, config)
    others = [name for name in rows[0] if name not in ("x", "y", "confidence")]
    table = [
        [*(row[name] for name in others), *map(float, p.round(2)), round(float(c), 4)]
        for row, p, c in zip(rows, points.xy, points.confidence, strict=True)
    ]
    write_csv(join(out, "keypoints.csv"), [*others, "x", "y", "confidence"], table)
    pictures = read_image(source.ref), read_image(target.ref)
    write_rgb(join(out, "transfer.png"), match_picture(*pictures, xy, points.xy))
    report = TransferReport(len(rows), float(points.confidence.mean()))
    write_pair(
        out,
        f"{short(source.name)} to {short(target.name)}",
        (source, target),
        pictures,
        config,
        matches=[
            MatchRecord(*map(float, (*here, *there, sure)))
            for here, there, sure in zip(xy, points.xy, points.confidence, strict=True)
        ],
        numbers={"points": report.points, "mean confidence": report.confidence},
        notes=(
            "keypoints of the first image where they lie in the second; similarity stands for "
            "the confidence of each",
        ),
    )
    return report


def _check_inside(xy: np.ndarray, source: View, url: str) -> None:
    outside = ((xy < 0) | (xy > source.grid.image)).any(axis=1)
    if outside.any():
        number = int(outside.argmax())
        width, height = source.grid.image
        x, y = xy[number]
        raise ValueError(
            f"{url}, row {number + 1}: the point {x:g},{y:g} lies outside {short(source.name)}, "
            f"which has {width}x{height} pixels"
        )


def read_keypoints(url: str) -> list[dict[str, str]]:
    """Rows of a CSV with at least the columns x and y, pixels of the original image.

    Raises:
        ValueError: another table, or values that are no numbers.
    """
    rows = read_table(url, ("x", "y"))
    for number, row in enumerate(rows, start=1):
        try:
            values = float(row["x"]), float(row["y"])
        except ValueError:
            values = (float("nan"),) * 2
        if not np.isfinite(values).all():
            raise ValueError(f"{url}, row {number}: x and y must be numbers; got {row}")
    return rows
