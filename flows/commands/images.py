"""Images and sets of images."""

from typing import Any

import click

from flows.command import finish, run_flow, run_options, sentences
from flows.options import PLACE, config_options, read_config
from tasks.config import CosegmentConfig, ExtractConfig
from tasks.parts_config import ClusterConfig, PartsConfig


@click.command()
@click.argument("images", type=PLACE)
@click.argument("store", type=PLACE)
@click.option("--dry-run", is_flag=True, help="Only print the plan: images, bytes, memory, time.")
@run_options
@config_options(ExtractConfig)
def extract(
    images: str, store: str, dry_run: bool, runner: str, debug: bool, **options: Any
) -> None:
    """Store descriptors of IMAGES in STORE.

    IMAGES: folder, glob, list file (.txt), or any fsspec URL of those. Images that STORE holds
    already are left alone; a run that was interrupted goes on where it stopped.
    """
    config = read_config(ExtractConfig, options)
    if dry_run:
        from tasks.forecast import forecast

        with sentences(debug):
            plan = forecast(images, store, config)
        finish("\n".join(plan.lines), f"nothing was written to {store}")
        return
    summary = run_flow("extract", runner, debug, images=images, store=store, config=config)
    finish("\n".join(summary.lines), f"store: {store}", summary.failures)


@click.command()
@click.argument("images", type=PLACE)
@click.argument("out", type=PLACE)
@click.option(
    "--store", type=PLACE, help="Where the descriptors are or will be; by default OUT/store."
)
@run_options
@config_options(CosegmentConfig)
def cosegment(
    images: str, out: str, store: str | None, runner: str, debug: bool, **options: Any
) -> None:
    """Find the object that a set of images shares: a mask for each of IMAGES, below OUT.

    One folder of images is one set, a folder of folders is many. Masks:
    OUT/<set>/masks/<stem>.png, mode L, 0 or 255, of the source image's size.
    """
    config = read_config(CosegmentConfig, options)
    summary = run_flow(
        "cosegment", runner, debug, images=images, out=out, config=config, store=store
    )
    for report in summary.sets:
        for warning in report.warnings:
            click.echo(f"{report.name}: {warning}", err=True)
    finish(
        summary.line, f"masks: {summary.place('masks')}, report: {summary.report}", summary.missing
    )


@click.command()
@click.option("--out", type=PLACE, default="demo-out", help="Where to write; any fsspec URL.")
@click.option(
    "--tour/--no-tour", default=True, help="Also parts, a matched pair and a clip's masks."
)
@run_options
@config_options(CosegmentConfig)
def demo(out: str, tour: bool, runner: str, debug: bool, **options: Any) -> None:
    """Run the whole chain on photographs that come with installed packages, and measure it."""
    config = read_config(CosegmentConfig, options)
    summary = run_flow("demo", runner, debug, out=out, config=config, tour=tour)
    finish(summary.line, f"report: {summary.report}", summary.masks.missing)


@click.command()
@click.argument("images", type=PLACE)
@click.argument("out", type=PLACE)
@click.option(
    "--store", type=PLACE, help="Where the descriptors are or will be; by default OUT/store."
)
@run_options
@config_options(PartsConfig)
def parts(
    images: str, out: str, store: str | None, runner: str, debug: bool, **options: Any
) -> None:
    """Divide the object that a set of images shares into parts, the same in each of IMAGES.

    One folder of images is one set, a folder of folders is many. Labels:
    OUT/<set>/parts/<stem>.png, indexed, 0 background, 1..K parts, of the source image's size;
    OUT/<set>/codebook.zarr finds the same parts in other images (--codebook).
    """
    config = read_config(PartsConfig, options)
    summary = run_flow("parts", runner, debug, images=images, out=out, config=config, store=store)
    for report in summary.sets:
        for warning in report.warnings:
            click.echo(f"{report.name}: {warning}", err=True)
    finish(
        summary.line, f"parts: {summary.place('parts')}, report: {summary.report}", summary.missing
    )


@click.command()
@click.argument("store", type=PLACE)
@click.argument("out", type=PLACE)
@run_options
@config_options(ClusterConfig)
def cluster(store: str, out: str, runner: str, debug: bool, **options: Any) -> None:
    """Cluster every descriptor of STORE, whatever its size.

    Writes OUT/codebook.zarr (centers, sizes), OUT/clusters.json (sizes and the images nearest
    to each centre) and OUT/labels/<stem>.png (indexed, one pixel a patch).
    """
    config = read_config(ClusterConfig, options)
    summary = run_flow("cluster", runner, debug, store=store, out=out, config=config)
    finish(summary.line, f"codebook: {out}/codebook.zarr, report: {summary.page}")
