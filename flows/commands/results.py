"""What was published, and two results side by side."""

from collections.abc import Sequence
from typing import Any

import click

from flows.command import sentences
from flows.options import PLACE
from flows.terminal import json_option, print_done, terminal

_VERDICTS = {True: "beyond noise", False: "within noise"}


@click.command()
@click.argument("name", required=False)
@json_option
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def presets(name: str | None, debug: bool) -> None:
    """List the presets: settings as published, the number that they led to, and its source.

    NAME: only this one, with every setting that it pins.
    """
    from tasks.presets import PRESETS

    with sentences(debug):
        if name is not None and name not in PRESETS:
            raise ValueError(f"no preset {name!r}; there are: {', '.join(PRESETS)}")
        chosen = {n: p for n, p in PRESETS.items() if name in (None, n)}
    if terminal().as_json:
        terminal().outcome = {
            n: {
                "benchmark": p.benchmark,
                "published": p.published,
                "source": p.source,
                "evaluates": p.evaluates,
                "settings": p.settings,
            }
            for n, p in chosen.items()
        }
    else:
        for n, preset in chosen.items():
            shown = preset.settings if name else _main(preset.settings)
            click.echo(click.style(n, bold=True))
            click.echo(f"  measured   {preset.benchmark}")
            click.echo(f"  published  {preset.published}")
            click.echo(f"  source     {preset.source}")
            click.echo(f"  settings   {_words(shown, chr(10) + ' ' * 13 if name else ', ')}")
            click.echo(f"  here       patchflow evaluate {'|'.join(preset.evaluates)} --preset {n}")
    count = "1 preset" if name else f"{len(chosen)} presets"
    print_done(count, "numbers are published ones, not measured here", ())


@click.command()
@click.argument("first", type=PLACE, metavar="A")
@click.argument("second", type=PLACE, metavar="B")
@json_option
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def compare(first: str, second: str, debug: bool) -> None:
    """Put two results of one benchmark side by side and say what differs beyond noise.

    A and B: metrics.json of `patchflow evaluate`, or the OUT that holds it. Where both have the
    same items, their differences are drawn pairwise (bootstrap, 95 %).
    """
    from tasks.compare import compare_metrics

    with sentences(debug):
        found = compare_metrics(first, second)
    if terminal().as_json:
        terminal().outcome = found
    else:
        header = ("score", f"A {found.presets[0]}", f"B {found.presets[1]}", "B - A", "95 %", "")
        rows = [
            (
                d.name,
                f"{100 * d.first:.2f}",
                f"{100 * d.second:.2f}",
                f"{100 * d.difference:+.2f}",
                "" if d.low is None else f"{100 * d.low:+.2f} to {100 * (d.high or 0):+.2f}",
                d.by if d.beyond_noise is None else _VERDICTS[d.beyond_noise],
            )
            for d in found.differences
        ]
        click.echo(_aligned([header, *rows]))
        if found.settings:
            click.echo("\ndiffer in")
            click.echo(
                _aligned([(f"  {n}", str(a), str(b)) for n, (a, b) in found.settings.items()])
            )
        click.echo()
    print_done(found.line, f"A: {first}, B: {second}", ())


def _main(settings: dict[str, Any]) -> dict[str, Any]:
    names = ("model", "layer", "facet", "stride", "size", "fit")
    return {name: settings[name] for name in names if name in settings}


def _words(settings: dict[str, Any], between: str) -> str:
    return between.join(f"{name} {_word(value)}" for name, value in settings.items())


def _word(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
