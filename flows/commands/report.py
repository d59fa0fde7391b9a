"""The report."""

import click

from flows.command import finish, sentences
from flows.options import PLACE
from flows.terminal import json_option, terminal
from storage.files import list_folder
from tasks.bars import working


@click.command()
@click.argument("out", type=PLACE)
@click.option("--title", default="patchflow", help="Heading of the first page.")
@json_option
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def report(out: str, title: str, debug: bool) -> None:
    """Make OUT/report/index.html again from the results under OUT."""
    from tasks.report import write_report

    with sentences(debug):
        if not list_folder(out) and not list_folder(out, "directory"):
            raise ValueError(f"{out}: nothing is here. Give the folder that a task wrote into")
        with working("writing the report"):
            summary = write_report(out, title=title)
        terminal().outcome = summary
    problems = tuple((problem, "left out of the report") for problem in summary.problems)
    finish(summary.line, f"report: {summary.url}", problems)
