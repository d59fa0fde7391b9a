"""Pairs of images."""

from typing import Any

import click

from flows.command import finish, run_flow, run_options
from flows.options import PLACE, CommaSeparated, config_options, read_config
from tasks.match_config import CorrespondConfig, MatchConfig


@click.command()
@click.argument("a", type=PLACE)
@click.argument("b", type=PLACE)
@click.argument("out", type=PLACE)
@click.option(
    "--store", type=PLACE, help="Where the descriptors are or will be; by default OUT/store."
)
@click.option(
    "--pair-list",
    "listed",
    type=PLACE,
    help="CSV with the columns source,target: only these pairs.",
)
@run_options
@config_options(CorrespondConfig)
def correspond(
    a: str,
    b: str,
    out: str,
    store: str | None,
    listed: str | None,
    runner: str,
    debug: bool,
    **options: Any,
) -> None:
    """Match images A and B: OUT/matches.csv and OUT/matches.png.

    A and B may also be folders, globs or list files: all pairs, each in a folder of OUT; the
    same twice gives all pairs of a set. Columns of matches.csv: source_x, source_y, target_x,
    target_y (pixels of the original images), similarity, saliency. With --flow also where every
    pixel of A lies in B: OUT/flow.flo and OUT/warped.png.
    """
    config = read_config(CorrespondConfig, options)
    summary = run_flow(
        "correspond", runner, debug, a=a, b=b, out=out, config=config, store=store, pairs=listed
    )
    for warning in summary.warnings:
        click.echo(warning, err=True)
    finish(summary.line, f"matches: {out}, report: {summary.report}", summary.extraction.failures)


@click.command()
@click.argument("a", type=PLACE)
@click.argument("b", type=PLACE)
@click.argument("keypoints", type=PLACE)
@click.argument("out", type=PLACE)
@click.option(
    "--store", type=PLACE, help="Where the descriptors are or will be; by default OUT/store."
)
@run_options
@config_options(MatchConfig)
def transfer(
    a: str,
    b: str,
    keypoints: str,
    out: str,
    store: str | None,
    runner: str,
    debug: bool,
    **options: Any,
) -> None:
    """Carry the points in KEYPOINTS, a CSV with the columns x,y in image A, to image B.

    OUT/keypoints.csv has x,y in pixels of B and confidence; other columns are kept.
    """
    config = read_config(MatchConfig, options)
    given = {"a": a, "b": b, "keypoints": keypoints, "out": out, "config": config, "store": store}
    summary = run_flow("transfer", runner, debug, **given)
    finish(summary.line, f"keypoints: {out}/keypoints.csv, report: {summary.page}")


@click.command()
@click.argument("store", type=PLACE)
@click.argument("image", type=PLACE)
@click.argument("out", type=PLACE)
@click.option("--point", type=CommaSeparated(float), required=True, help="X,Y in IMAGE, pixels.")
@click.option("--hits", default=100, help="How many to list.")
@click.option("--every-patch", is_flag=True, help="Not only the best patch of each image.")
@click.option(
    "--device",
    default="auto",
    show_default=True,
    help="auto (a GPU where there is one), cpu or cuda.",
)
@run_options
def search(
    store: str,
    image: str,
    out: str,
    point: tuple[float, ...],
    hits: int,
    every_patch: bool,
    device: str,
    runner: str,
    debug: bool,
) -> None:
    """Find the patches of a whole STORE that look like the one at a point of IMAGE.

    OUT/hits.csv: rank,image,x,y,similarity; OUT/hits.png: crops of the first hits.
    """
    if len(point) != 2:
        raise click.UsageError("--point: expected X,Y")
    given = {"store": store, "image": image, "out": out, "point": point, "hits": hits}
    given |= {"every_patch": every_patch, "device": device}
    summary = run_flow("search", runner, debug, **given)
    finish(summary.line, f"hits: {out}/hits.csv, report: {summary.page}", summary.report.missing)
