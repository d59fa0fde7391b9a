"""Pairs of images."""

from typing import Any

import click

from flows.command import finish, run_flow, run_options
from flows.options import config_options, read_config
from tasks.match_config import CorrespondConfig


@click.command()
@click.argument("a")
@click.argument("b")
@click.argument("out")
@click.option("--store", help="Where the descriptors are or will be; by default OUT/store.")
@click.option("--pair-list", "listed", help="CSV with the columns source,target: only these pairs.")
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
    target_y (pixels of the original images), similarity, saliency.
    """
    config = read_config(CorrespondConfig, options)
    summary = run_flow(
        "correspond", runner, debug, a=a, b=b, out=out, config=config, store=store, pairs=listed
    )
    for warning in summary.warnings:
        click.echo(warning, err=True)
    finish(summary.line, f"matches: {out}, report: {summary.report}", summary.extraction.failures)
