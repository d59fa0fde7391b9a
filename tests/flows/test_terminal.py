"""How commands end: a table where there is something to compare, JSON for programs."""

import io
import json
from dataclasses import dataclass

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

from flows.terminal import (
    completion,
    json_option,
    print_done,
    print_failed,
    summary_table,
    terminal,
)


@dataclass(frozen=True)
class Part:
    name: str
    masks: int
    seconds: float
    missing: tuple[tuple[str, str], ...] = ()
    reused: bool = False


@dataclass(frozen=True)
class Inner:
    sets: tuple[Part, ...]


@dataclass(frozen=True)
class Summary:
    out: str
    masks: Inner


SUMMARY = Summary("o", Inner((Part("cats", 12, 1.5), Part("dogs", 7, 20.0, (), True))))


@click.group()
def main() -> None:
    pass


main.add_command(completion)


@main.command()
@click.option("--fails", is_flag=True)
@json_option
def work(fails: bool) -> None:
    if fails:
        print_failed(["no such folder", "and more"], debug=False)
        return
    terminal().outcome = SUMMARY
    print_done("19 masks", "masks: o", [("a.jpg", "empty file")])


def test_people_get_lines_and_failures_first() -> None:
    result = CliRunner().invoke(main, ["work"])
    assert result.stdout == "19 masks\nmasks: o\n"
    assert result.stderr == "could not use a.jpg: empty file\n"


def test_programs_get_one_object() -> None:
    result = CliRunner().invoke(main, ["work", "--json"])
    content = json.loads(result.stdout)
    assert result.stderr == ""
    assert content["status"] == "incomplete"
    assert content["missing"] == [{"name": "a.jpg", "reason": "empty file"}]
    assert content["summary"]["masks"]["sets"][1] == {
        "name": "dogs", "masks": 7, "seconds": 20.0, "missing": [], "reused": True,
    }  # fmt: skip


def test_errors_are_sentences_or_a_list() -> None:
    result = CliRunner().invoke(main, ["work", "--fails"])
    assert result.stderr == "Error: no such folder\nError: and more\n(--debug shows where)\n"
    result = CliRunner().invoke(main, ["work", "--fails", "--json"])
    assert json.loads(result.stdout) == {
        "status": "failed",
        "errors": ["no such folder", "and more"],
    }


def test_the_table_shows_what_can_be_compared() -> None:
    table = summary_table(SUMMARY)
    assert table is not None
    buffer = io.StringIO()
    Console(file=buffer, width=80).print(table)
    lines = buffer.getvalue().splitlines()
    assert lines[1].split() == ["┃", "name", "┃", "masks", "┃", "seconds", "┃", "reused", "┃"]
    assert lines[3].replace("│", " ").split() == ["cats", "12", "1.5"]
    assert lines[4].replace("│", " ").split() == ["dogs", "7", "20", "yes"]


def test_nothing_to_compare_gives_no_table() -> None:
    assert summary_table(None) is None
    assert summary_table(Inner((Part("cats", 1, 1.0),))) is None


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_command(shell: str) -> None:
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0
    assert "_PATCHFLOW_COMPLETE" in result.stdout
