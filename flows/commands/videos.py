"""Videos."""

from typing import Any

import click

from flows.command import finish, run_flow, run_options
from flows.options import PLACE, config_options, read_config
from tasks.video_config import PropagateConfig


@click.command()
@click.argument("frames", type=PLACE)
@click.argument("out", type=PLACE)
@click.option(
    "--mask",
    type=PLACE,
    help="Mask of the first frame: a PNG, indexed or with a gray value or flat colour for each "
    "object; or a folder of those, named like their frames. By default the salient object is "
    "followed.",
)
@run_options
@config_options(PropagateConfig)
def propagate(
    frames: str, out: str, mask: str | None, runner: str, debug: bool, **options: Any
) -> None:
    """Carry masks through a video: OUT/masks/<frame>.png and OUT/overlay.mp4.

    FRAMES: a folder of frames, a video file, or a folder of those (then each gets a folder of
    OUT, and --mask is a folder with <clip>.png or <clip>/ for each). Masks are indexed PNGs of
    MASK's size and palette. A run that was interrupted goes on where it stopped.
    """
    config = read_config(PropagateConfig, options)
    summary = run_flow("propagate", runner, debug, frames=frames, out=out, config=config, mask=mask)
    for clip in summary.clips:
        for warning in clip.warnings:
            click.echo(f"{clip.name}: {warning}", err=True)
    where = "masks" if len(summary.clips) == 1 else "<video>/masks"
    finish(summary.line, f"masks: {out}/{where}, report: {summary.report}", summary.missing)
