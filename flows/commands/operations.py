"""Running many tasks from one file, and being told when they fail."""

import click

from flows.command import finish, run_flow, run_options, sentences
from flows.options import PLACE


@click.command()
@click.argument("file", type=PLACE, metavar="FILE.yaml")
@click.option("--only", multiple=True, help="Name of a task to do, repeated for more; else all.")
@run_options
def pipeline(file: str, only: tuple[str, ...], runner: str, debug: bool) -> None:
    """Extract what is new and do every task of FILE.yaml, each on its own.

    The file names images, store, out, settings and tasks; see deployments/pipeline.yaml. A task
    that fails does not keep the others from ending; run again to do only what is missing.
    """
    summary = run_flow("pipeline", runner, debug, file=file, only=only)
    finish(summary.line, f"results: {summary.out}", summary.missing)


@click.command()
@click.argument("block", metavar="TYPE/NAME")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def notify(block: str, debug: bool) -> None:
    """Send every failed run of a deployment to a notification block.

    TYPE/NAME: a block of the Prefect server at PREFECT_API_URL, e.g. slack-webhook/team.
    """
    from tasks.notifications import notify_of_failures

    with sentences(debug):
        click.echo(f"failed runs go to {block} (automation {notify_of_failures(block)})")
