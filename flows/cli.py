"""The command `patchflow`: one subcommand a flow, options from the settings' models."""

import click

from flows.commands.discover import discover
from flows.commands.evaluate import evaluate
from flows.commands.images import cluster, cosegment, demo, extract, parts
from flows.commands.operations import notify, pipeline
from flows.commands.pairs import correspond, search, transfer
from flows.commands.report import report
from flows.commands.results import compare, presets
from flows.commands.store import compact, export, gc, info, verify
from flows.commands.videos import propagate
from flows.terminal import completion


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="patchflow")
def main() -> None:
    """Dense visual descriptors of Vision Transformers, at the scale of buckets.

    Paths may be any fsspec URL (s3://, gs://, abfs://, memory://); credentials come from their
    usual places, e.g. FSSPEC_S3 in the environment. Exit status: 0 done, 1 failed, 2 wrong
    usage, 3 done except for inputs that could not be used.
    """


COMMANDS = (
    *(demo, extract, cluster, cosegment, parts, discover, correspond, transfer, search, propagate),
    *(info, verify, compact, gc, export),
    *(pipeline, notify),
    *(evaluate, presets, compare, report, completion),
)
for command in COMMANDS:
    main.add_command(command)
