"""The command `patchflow`: one subcommand a flow, options from the settings' models."""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import click

from flows.benchmarks import BENCHMARKS, Choice
from flows.options import CommaSeparated, config_options, read_config
from flows.terminal import completion, json_option, print_done, print_failed, terminal
from storage.errors import StorageError
from storage.weights import WeightsError
from tasks.config import CosegmentConfig, ExtractConfig

# Errors whose message is written for users; anything else is a bug and shows its traceback.
_EXPECTED = (StorageError, WeightsError, ValueError, KeyError, OSError, RuntimeError)
# Everything was done that could be; some input could not be used.
INCOMPLETE = 3


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="patchflow")
def main() -> None:
    """Dense visual descriptors of Vision Transformers, at the scale of buckets.

    Paths may be any fsspec URL (s3://, gs://, abfs://, memory://); credentials come from their
    usual places, e.g. FSSPEC_S3 in the environment. Exit status: 0 done, 1 failed, 2 wrong
    usage, 3 done except for inputs that could not be used.
    """


main.add_command(completion)


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of every subcommand that runs a flow."""
    command = json_option(command)
    command = click.option(
        "--debug", is_flag=True, help="Show the traceback of an error, and Prefect's logs."
    )(command)
    return click.option(
        "--runner",
        default="threads",
        help="Where tasks run: threads, dask (a local cluster), tcp://HOST:PORT or a cluster "
        "FILE.yaml.",
    )(command)


def run_flow(name: str, runner: str, debug: bool, **parameters: Any) -> Any:
    """Run the flow `name` of flows/`name`.py with a Prefect API and a task runner.

    Prints one sentence and exits with 1 where it fails.
    """
    if not debug:
        # Errors come once, as a sentence, from `fail`.
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        os.environ.setdefault("DISTRIBUTED__LOGGING__DISTRIBUTED", "error")
    try:
        import importlib

        from flows.runner import make_runner
        from flows.server import prefect_api

        if "PREFECT_API_URL" not in os.environ:
            signal.signal(signal.SIGINT, _leave)
        task_runner = make_runner(runner)
        flow = getattr(importlib.import_module(f"flows.{name}"), name)
        with prefect_api():
            outcome = flow.with_options(task_runner=task_runner)(**parameters)
    except (*_EXPECTED, ExceptionGroup) as error:
        fail(error, debug)
    terminal().outcome = outcome
    return outcome


def _leave(number: int, frame: Any) -> None:  # noqa: ARG001
    """Stop at once at Ctrl-C: what is committed is safe, and tasks may run for minutes."""
    click.echo("\nStopped. Run the same command again to go on from here.", err=True)
    os._exit(128 + number)


def fail(error: BaseException, debug: bool) -> NoReturn:
    """End with status 1 and what went wrong, in one sentence for each cause."""
    if debug:
        traceback.print_exception(error)
    causes = [error.message] if isinstance(error, ExceptionGroup) else []
    for cause in (error.exceptions if isinstance(error, ExceptionGroup) else (error,))[:5]:
        text = str(cause.args[0]) if isinstance(cause, KeyError) and cause.args else str(cause)
        causes.append(text or type(cause).__name__)
    print_failed(causes, debug)
    sys.exit(1)


def finish(line: str, place: str, missing: tuple[tuple[str, str], ...] = ()) -> None:
    """Print the closing lines; exit with 3 where inputs could not be used."""
    print_done(line, place, missing)
    if missing:
        sys.exit(INCOMPLETE)


@main.command()
@click.argument("images")
@click.argument("store")
@run_options
@config_options(ExtractConfig)
def extract(images: str, store: str, runner: str, debug: bool, **options: Any) -> None:
    """Store descriptors of IMAGES in STORE.

    IMAGES: folder, glob, list file (.txt), or any fsspec URL of those. Images that STORE holds
    already are left alone; a run that was interrupted goes on where it stopped.
    """
    config = read_config(ExtractConfig, options)
    summary = run_flow("extract", runner, debug, images=images, store=store, config=config)
    finish(summary.line, f"store: {store}", summary.failures)


@main.command()
@click.argument("images")
@click.argument("out")
@click.option("--store", help="Where the descriptors are or will be; by default OUT/store.")
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
    finish(summary.line, f"masks: {out}/<set>/masks, report: {summary.report}", summary.missing)


@main.command()
@click.option("--out", default="demo-out", help="Where to write; any fsspec URL.")
@run_options
@config_options(CosegmentConfig)
def demo(out: str, runner: str, debug: bool, **options: Any) -> None:
    """Run the whole chain on photographs that come with installed packages, and measure it."""
    config = read_config(CosegmentConfig, options)
    summary = run_flow("demo", runner, debug, out=out, config=config)
    finish(summary.line, f"report: {summary.report}", summary.masks.missing)


@main.group()
def evaluate() -> None:
    """Run a benchmark on its official layout: metrics.json, metrics.md and a report under OUT."""


def _add_benchmark(name: str) -> None:
    entry = BENCHMARKS[name]

    @evaluate.command(name, help=f"{entry.about}  ROOT: its official layout.")
    @click.argument("root")
    @click.argument("out")
    @click.option(f"--{entry.parts}", "names", type=CommaSeparated(str), default=())
    @click.option("--limit", type=int, help="Only the first N items of each category.")
    @run_options
    @config_options(entry.config)
    def command(
        root: str,
        out: str,
        names: tuple[str, ...],
        limit: int | None,
        runner: str,
        debug: bool,
        **options: Any,
    ) -> None:
        preset = options["preset"]
        config = read_config(entry.config, options)
        summary = run_flow(
            "evaluate",
            runner,
            debug,
            benchmark=name,
            root=root,
            out=out,
            config=config,
            preset=preset,
            choice=Choice(names, limit),
        )
        finish(summary.line, f"metrics: {summary.metrics}, report: {summary.report}")


for _name in BENCHMARKS:
    _add_benchmark(_name)


@main.command()
@click.argument("store")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def info(store: str, debug: bool) -> None:
    """Say what is in STORE."""
    from tasks.info import describe_store

    try:
        click.echo(describe_store(store))
    except _EXPECTED as error:
        fail(error, debug)


@main.command()
@click.argument("store")
@click.option("--repair", is_flag=True, help="Drop what is damaged; the next extract mends it.")
@run_options
def verify(store: str, repair: bool, runner: str, debug: bool) -> None:
    """Compare every byte in STORE with what was committed; exit with 1 where it differs."""
    report = run_flow("verify", runner, debug, store=store, repair=repair)
    for problem in report.problems:
        click.echo(f"{problem.where}: {problem.what}", err=True)
    click.echo(
        f"{report.images} images in {report.partitions} partitions are sound "
        f"({report.bytes / 1e6:.1f} MB read), {len(report.problems)} problems, "
        f"{report.uncommitted} attempts without a commit"
    )
    if report.repaired:
        click.echo("damaged images were dropped: run `patchflow extract` to store them again")
    click.echo(f"store: {store}")
    if report.problems and not report.repaired:
        sys.exit(1)


@main.command()
@click.argument("store")
@click.option("--partition-size", default=256, help="Most images of a merged partition.")
@run_options
def compact(store: str, partition_size: int, runner: str, debug: bool) -> None:
    """Merge small partitions of STORE and index it, so that it opens fast; readers go on."""
    report = run_flow("compact", runner, debug, store=store, partition_size=partition_size)
    line = (
        f"{report.merged} partitions merged into {report.written}, {report.images} images indexed"
    )
    finish(line, f"store: {store}")


@main.command()
@click.argument("store")
@click.option("--grace", "grace_hours", default=24.0, help="Hours that younger things stay.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@run_options
def gc(store: str, grace_hours: float, dry_run: bool, runner: str, debug: bool) -> None:
    """Remove from STORE what no commit names and what `compact` has replaced."""
    report = run_flow("sweep", runner, debug, store=store, grace_hours=grace_hours, dry_run=dry_run)
    verb = "would remove" if dry_run else "removed"
    line = (
        f"{verb} {report.attempts} attempts without a commit, {report.partitions} partitions, "
        f"{report.indices} old indices"
    )
    finish(line, f"store: {store}")


@main.command()
@click.argument("store")
@click.argument("out")
@click.option("--format", type=click.Choice(["npz", "parquet"]), default="npz")
@run_options
def export(store: str, out: str, format: str, runner: str, debug: bool) -> None:  # noqa: A002
    """Write the descriptors in STORE for other programs: .npz an image, or Parquet."""
    count = run_flow("export", runner, debug, store=store, out=out, format=format)
    unit = "files" if format == "npz" else "rows"
    finish(f"{count} {unit} written", f"{format}: {out}")


@main.command()
@click.argument("out")
@click.option("--title", default="patchflow", help="Heading of the first page.")
@json_option
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def report(out: str, title: str, debug: bool) -> None:
    """Make OUT/report/index.html again from the results under OUT."""
    from tasks.report import write_report

    try:
        terminal().outcome = summary = write_report(out, title=title)
    except _EXPECTED as error:
        fail(error, debug)
    problems = tuple((problem, "left out of the report") for problem in summary.problems)
    finish(summary.line, f"report: {summary.url}", problems)
