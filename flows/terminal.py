"""How a command ends: lines and a table for people, one JSON object for programs."""

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
from click.shell_completion import get_completion_class
from rich.console import Console
from rich.table import Table

_KEY = "patchflow.terminal"
_ROWS = 30
_COMPLETE = "_PATCHFLOW_COMPLETE"


@dataclasses.dataclass
class Terminal:
    """What the running command was asked to print, and what it came to."""

    as_json: bool = False
    outcome: Any = None


def terminal() -> Terminal:
    """The running command's; one of its own where no command runs."""
    context = click.get_current_context(silent=True)
    if context is None:
        return Terminal()
    found: Terminal = context.find_root().meta.setdefault(_KEY, Terminal())
    return found


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--json``: the command then prints one JSON object and nothing else to stdout."""

    def remember(_context: click.Context, _option: click.Parameter, value: bool) -> None:
        terminal().as_json = terminal().as_json or value

    return click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        callback=remember,
        help="Print one JSON object for programs instead of lines for people.",
    )(command)


def print_done(line: str, place: str, missing: Sequence[tuple[str, str]]) -> None:
    """The closing lines of a command, what could not be used first, or all of it as JSON."""
    now = terminal()
    if now.as_json:
        status = "incomplete" if missing else "done"
        _print_json(
            {
                "status": status,
                "message": line,
                "result": place,
                "missing": [{"name": name, "reason": reason} for name, reason in missing],
                "summary": _plain(now.outcome),
            }
        )
        return
    for name, reason in missing[:20]:
        click.echo(f"could not use {name}: {reason}", err=True)
    if len(missing) > 20:
        click.echo(f"... and {len(missing) - 20} more", err=True)
    console = Console()
    table = summary_table(now.outcome)
    if table is not None and console.is_terminal:
        console.print(table)
    click.echo(line)
    click.echo(place)


def print_failed(causes: Sequence[str], debug: bool) -> None:
    """What went wrong, a sentence each."""
    if terminal().as_json:
        _print_json({"status": "failed", "errors": list(causes)})
        return
    for cause in causes:
        click.echo(f"Error: {cause}", err=True)
    if not debug:
        click.echo("(--debug shows where)", err=True)


def summary_table(outcome: Any) -> Table | None:
    """The parts of a summary as a table: its first field that holds records, a row each.

    None where there are fewer than two, which the closing line says as well.
    """
    records = next((v for v in _values(outcome) if _are_records(v)), None)
    if records is None or len(records) < 2:
        return None
    names = [f.name for f in dataclasses.fields(records[0])]
    shown = [n for n in names if all(_is_short(getattr(r, n)) for r in records)]
    table = Table(*(name.replace("_", " ") for name in shown), header_style="bold")
    for column, name in zip(table.columns, shown, strict=True):
        numbers = all(_is_number(getattr(record, name)) for record in records)
        column.justify = "right" if numbers else "left"
    for record in records[:_ROWS]:
        table.add_row(*(_cell(getattr(record, name)) for name in shown))
    if len(records) > _ROWS:
        table.caption = f"the first {_ROWS} of {len(records)}"
    return table


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for SHELL.

    For bash, in ~/.bashrc: eval "$(patchflow completion bash)"
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(kind(context.find_root().command, {}, "patchflow", _COMPLETE).source())


def _values(outcome: Any) -> list[Any]:
    if not dataclasses.is_dataclass(outcome):
        return []
    own = [getattr(outcome, f.name) for f in dataclasses.fields(outcome)]
    return own + [v for value in own for v in _values(value)]


def _are_records(value: Any) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and len(value) > 0
        and all(dataclasses.is_dataclass(item) for item in value)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_short(value: Any) -> bool:
    return isinstance(value, str | int | float | bool | None)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    """Dataclasses, mappings and sequences as JSON has them; anything else as its text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


def _print_json(content: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
