"""Benchmarks."""

from typing import Any

import click

from flows.benchmarks import BENCHMARKS, Choice
from flows.command import finish, run_flow, run_options
from flows.options import PLACE, CommaSeparated, config_options, read_config


@click.group()
def evaluate() -> None:
    """Run a benchmark on its official layout: metrics.json, metrics.md and a report under OUT."""


def _add_benchmark(name: str) -> None:
    entry = BENCHMARKS[name]

    @evaluate.command(name, help=f"{entry.about}  ROOT: its official layout.")
    @click.argument("root", type=PLACE)
    @click.argument("out", type=PLACE)
    @click.option(
        f"--{entry.parts}",
        "names",
        type=CommaSeparated(str),
        default=(),
        help="Only these, separated by commas.",
    )
    @click.option("--limit", type=click.IntRange(min=1), help="Only the first N items of each.")
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
