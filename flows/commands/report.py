"""The report."""

import click

from flows.command import finish, sentences
from flows.terminal import json_option, terminal


@click.command()
@click.argument("out")
@click.option("--title", default="patchflow", help="Heading of the first page.")
@json_option
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def report(out: str, title: str, debug: bool) -> None:
    """Make OUT/report/index.html again from the results under OUT."""
    from tasks.report import write_report

    with sentences(debug):
        terminal().outcome = summary = write_report(out, title=title)
    problems = tuple((problem, "left out of the report") for problem in summary.problems)
    finish(summary.line, f"report: {summary.url}", problems)
