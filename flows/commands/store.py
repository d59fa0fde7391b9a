"""The care of a store."""

import sys

import click

from flows.command import finish, run_flow, run_options, sentences
from flows.options import PLACE


@click.command()
@click.argument("store", type=PLACE)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def info(store: str, debug: bool) -> None:
    """Say what is in STORE."""
    from tasks.info import describe_store

    with sentences(debug):
        click.echo(describe_store(store))


@click.command()
@click.argument("store", type=PLACE)
@click.option("--repair", is_flag=True, help="Drop what is damaged; the next extract mends it.")
@run_options
def verify(store: str, repair: bool, runner: str, debug: bool) -> None:
    """Compare every byte in STORE with what was committed; exit with 1 where it differs."""
    report = run_flow("verify", runner, debug, store=store, repair=repair)
    from tasks.summary import counted

    for problem in report.problems:
        click.echo(f"{problem.where}: {problem.what}", err=True)
    click.echo(
        f"{counted(report.images, 'image')} in {counted(report.partitions, 'partition')} "
        f"{'is' if report.images == 1 else 'are'} sound ({report.bytes / 1e6:.1f} MB read), "
        f"{counted(len(report.problems), 'problem')}, "
        f"{counted(report.uncommitted, 'attempt')} without a commit"
    )
    if report.repaired:
        click.echo("damage was set aside: `patchflow extract` stores again what is missing")
    click.echo(f"store: {store}")
    if report.problems and not report.repaired:
        sys.exit(1)


@click.command()
@click.argument("store", type=PLACE)
@click.option(
    "--partition-size",
    type=click.IntRange(min=1),
    default=256,
    help="Most images of a merged partition.",
)
@run_options
def compact(store: str, partition_size: int, runner: str, debug: bool) -> None:
    """Merge small partitions of STORE and index it, so that it opens fast; readers go on."""
    report = run_flow("compact", runner, debug, store=store, partition_size=partition_size)
    from tasks.summary import counted

    line = (
        f"{counted(report.merged, 'partition')} merged into {report.written}, "
        f"{counted(report.images, 'image')} indexed"
    )
    finish(line, f"store: {store}")


@click.command()
@click.argument("store", type=PLACE)
@click.option(
    "--grace",
    "grace_hours",
    type=click.FloatRange(min=0),
    default=24.0,
    help="Hours that younger things stay.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@run_options
def gc(store: str, grace_hours: float, dry_run: bool, runner: str, debug: bool) -> None:
    """Remove from STORE what no commit names and what `compact` has replaced."""
    report = run_flow("sweep", runner, debug, store=store, grace_hours=grace_hours, dry_run=dry_run)
    from tasks.summary import counted

    verb = "would remove" if dry_run else "removed"
    line = (
        f"{verb} {counted(report.attempts, 'attempt')} without a commit, "
        f"{counted(report.partitions, 'partition')}, "
        f"{counted(report.indices, 'old index', 'old indices')}"
    )
    finish(line, f"store: {store}")


@click.command()
@click.argument("store", type=PLACE)
@click.argument("out", type=PLACE)
@click.option("--format", type=click.Choice(["npz", "parquet"]), default="npz")
@run_options
def export(store: str, out: str, format: str, runner: str, debug: bool) -> None:  # noqa: A002
    """Write the descriptors in STORE for other programs: .npz an image, or Parquet."""
    count = run_flow("export", runner, debug, store=store, out=out, format=format)
    from tasks.summary import counted

    unit = "file" if format == "npz" else "row"
    finish(f"{counted(count, unit)} written", f"{format}: {out}")
