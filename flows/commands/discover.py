"""Objects without labels."""

from typing import Any

import click

from flows.command import finish, run_flow, run_options
from flows.options import PLACE, config_options, read_config
from tasks.discover_config import DiscoverConfig


@click.command()
@click.argument("images", type=PLACE)
@click.argument("out", type=PLACE)
@click.option(
    "--store", type=PLACE, help="Where the descriptors are or will be; by default OUT/store."
)
@run_options
@config_options(DiscoverConfig)
def discover(
    images: str, out: str, store: str | None, runner: str, debug: bool, **options: Any
) -> None:
    """Find the objects in IMAGES without any label: boxes, masks, and groups that look alike.

    OUT/boxes.json: COCO results, about OUT/images.json. OUT/masks/<stem>.png: mode L, 0 or 255,
    of the source image's size. OUT/groups.json and the report: what is in these images.
    """
    config = read_config(DiscoverConfig, options)
    summary = run_flow(
        "discover", runner, debug, images=images, out=out, config=config, store=store
    )
    finish(
        summary.line, f"boxes: {summary.totals.boxes}, report: {summary.report}", summary.missing
    )
