"""Correspondence tasks: which pairs there are, and one block of them matched and written."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np
from prefect import task

from storage.descriptors import DescriptorStore
from storage.files import join, write_bytes
from storage.images import ImageRef, list_images, read_image
from storage.results import write_csv, write_rgb
from tasks.bars import advance
from tasks.config import EXECUTION_FIELDS
from tasks.faults import STORAGE_RETRIES
from tasks.match_config import CorrespondConfig
from tasks.match_pictures import FlowPicture, short, warped, write_pair
from tasks.matching import (
    Comparison,
    Matches,
    View,
    compare,
    dense_flow,
    find_matches,
    views_of,
)
from tasks.ops.draw_layout import match_picture
from tasks.ops.flow import displacements, encode_flow
from tasks.ops.preprocess import to_image_size
from tasks.report_records import MatchRecord
from tasks.reuse import finished, mark_finished
from tasks.sets import result_stems, work_key
from tasks.tables import read_table

# Part of every result's key: raise it when the maths or the files change.
CODE = "correspond-3"
COLUMNS = ("source_x", "source_y", "target_x", "target_y", "similarity", "saliency")
SOURCES = "images.txt"


@dataclass(frozen=True, slots=True)
class ImagePair:
    """Two images by their names in the store. folder: of the results, below OUT ("" is OUT)."""

    source: str
    target: str
    folder: str


@dataclass(frozen=True, slots=True)
class PairPlan:
    """What is to be matched. images: list file of all of them, a source for the extraction."""

    images: str
    pairs: tuple[ImagePair, ...]


@dataclass(frozen=True, slots=True)
class PairReport:
    """What became of one pair. buddies: salient mutual neighbours. reused: nothing was done."""

    pair: str
    matches: int
    buddies: int
    warning: str | None
    reused: bool = False


@task(name="plan-pairs", task_run_name="pairs of {a} and {b}", **STORAGE_RETRIES)
def plan_pairs(a: str, b: str, out: str, listed: str | None = None) -> PairPlan:
    """All pairs of an image of `a` with one of `b`, or those of a CSV with columns source,target.

    The same source twice gives each of its pairs once, and no image with itself, unless it is
    one image.

    Args:
        a, b: an image, folder, glob or list file. out: where the list of images is written.
        listed: URL of a CSV that names the images of the pairs wanted, by their paths below the
            folder, their files' names, or those without ending.

    Raises:
        ValueError: a CSV without these columns or with an unknown image, or no pair at all.
    """
    left, right = list_images(a), list_images(b)
    if listed is not None:
        chosen = _read_pairs(listed, left, right)
    elif a == b and len(left) > 1:
        chosen = [(p, q) for i, p in enumerate(left) for q in left[i + 1 :]]
    else:
        chosen = [(p, q) for p in left for q in right]
    urls = list(dict.fromkeys(ref.url for pair in chosen for ref in pair))
    images = write_bytes_list(join(out, SOURCES), urls)
    names = {ref.url: ref.name for ref in list_images(images)}
    stems = result_stems(names.values())
    pairs = [
        ImagePair(
            names[p.url],
            names[q.url],
            "" if len(chosen) == 1 else f"{stems[names[p.url]]}--{stems[names[q.url]]}",
        )
        for p, q in chosen
    ]
    return PairPlan(images, tuple(pairs))


def write_bytes_list(url: str, lines: Sequence[str]) -> str:
    """Write a list file; returns its URL."""
    write_bytes(url, ("\n".join(lines) + "\n").encode())
    return url


@task(name="correspond-block", tags=["patchflow-correspond"], **STORAGE_RETRIES)
def correspond_block(
    store: str, pairs: tuple[ImagePair, ...], out: str, config: CorrespondConfig
) -> tuple[PairReport, ...]:
    """Write matches.csv, pictures and flow of every pair, unless an equal run did already."""
    opened = DescriptorStore.open(store)
    done = []
    for pair in pairs:
        done.append(_correspond(opened, pair, out, config))
        advance()
    return tuple(done)


def _correspond(
    store: DescriptorStore, pair: ImagePair, out: str, config: CorrespondConfig
) -> PairReport:
    names = [pair.source, pair.target]
    settings = config.model_dump(mode="json", exclude={*EXECUTION_FIELDS, "block"})
    key = work_key(store, names, settings, CODE)
    folder = join(out, pair.folder) if pair.folder else out
    if (earlier := finished(folder, key, PairReport)) is not None:
        return replace(earlier, reused=True)
    source, target = views_of(store, names, config)
    found = compare(source, target, config)
    matches = find_matches(found, config)
    write_csv(join(folder, "matches.csv"), COLUMNS, match_rows(matches))
    warning = shortage(source, target, matches, config)
    label = f"{short(pair.source)} and {short(pair.target)}"
    report = PairReport(label, len(matches.similarity), matches.buddies, warning)
    _show(folder, report, found, matches, config)
    mark_finished(folder, key, report)
    return report


def match_rows(matches: Matches) -> list[list[float]]:
    """Rows of matches.csv, pixels to a hundredth."""
    columns = zip(
        matches.source_xy, matches.target_xy, matches.similarity, matches.saliency, strict=True
    )
    return [
        [*(round(float(v), 2) for v in (*a, *b)), *(round(float(v), 5) for v in (s, t))]
        for a, b, s, t in columns
    ]


def shortage(source: View, target: View, matches: Matches, config: CorrespondConfig) -> str | None:
    """Why there are fewer matches than wanted, or None."""
    found = len(matches.similarity)
    if found >= config.pairs:
        return None
    for view in (source, target):
        if not (view.saliency > config.threshold).any():
            return (
                f"no patch of {short(view.name)} is more salient than {config.threshold}: "
                "no correspondences; lower --threshold"
            )
    return (
        f"{found} of {config.pairs} pairs wanted: there are {matches.buddies} salient mutual "
        "nearest neighbours; lower --threshold, or take a smaller --stride"
    )


def _show(
    folder: str,
    report: PairReport,
    found: Comparison,
    matches: Matches,
    config: CorrespondConfig,
) -> None:
    """Write what the settings want beside matches.csv: dense flow, and pictures."""
    if not config.pictures and config.flow == "none":
        return
    source, target = found.views
    pixels = read_image(source.ref), read_image(target.ref)
    flows = [_write_flow(folder, found, pixels[1], config)] if config.flow != "none" else []
    if not config.pictures:
        return
    picture = match_picture(*pixels, matches.source_xy, matches.target_xy)
    write_rgb(join(folder, "matches.png"), picture)
    write_pair(
        folder,
        report.pair,
        found.views,
        pixels,
        config,
        flows=flows,
        matches=[MatchRecord(*row) for row in match_rows(matches)],
        numbers={"best buddies": report.buddies, "matches": report.matches},
        warnings=[] if report.warning is None else [report.warning],
    )


def _write_flow(
    folder: str, found: Comparison, target: np.ndarray, config: CorrespondConfig
) -> FlowPicture:
    xy = dense_flow(found, config)
    seen = np.ones(xy.shape[:2], dtype=bool)
    if config.flow == "foreground":
        source, _ = found.views
        seen = to_image_size(source.saliency, source.grid) > config.threshold
    flow = np.where(seen[..., None], displacements(xy), np.nan)
    write_bytes(join(folder, "flow.flo"), encode_flow(flow))
    write_rgb(join(folder, "warped.png"), warped(target, xy, seen))
    return FlowPicture("warped", xy, seen)


def _read_pairs(
    url: str, left: Sequence[ImageRef], right: Sequence[ImageRef]
) -> list[tuple[ImageRef, ImageRef]]:
    pairs = [
        (_named(row["source"], left, url), _named(row["target"], right, url))
        for row in read_table(url, ("source", "target"))
    ]
    return list(dict.fromkeys(pairs))


def _named(name: str, refs: Sequence[ImageRef], url: str) -> ImageRef:
    found = [
        ref for ref in refs if name in (ref.name, short(ref.name), PurePosixPath(ref.name).stem)
    ]
    if len(found) != 1:
        what = "no image" if not found else f"{len(found)} images"
        raise ValueError(
            f"{url}: {what} named {name!r}; give the path below the folder, e.g. {refs[0].name}"
        )
    return found[0]
