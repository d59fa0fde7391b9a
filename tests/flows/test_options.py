"""Command-line options made from settings."""

from typing import Literal

import click
import pytest
from click.testing import CliRunner, Result

from flows.options import CommaSeparated, config_options, read_config
from tasks.config import Config, CosegmentConfig, ExtractConfig


class Sample(Config):
    """Every kind of field."""

    count: int = 3
    """How many things."""

    share: float | None = None
    """Of the
    whole."""

    colour: Literal["red", "green"] = "red"
    """One of two."""

    heads: tuple[int, ...] | None = None
    """Numbers."""

    names: tuple[str, ...] = ()
    """Words."""

    quick: bool = False
    """Hurry."""


@click.command()
@config_options(Sample)
def command(**options: object) -> None:
    config = read_config(Sample, options)
    assert options == {}
    click.echo(config.model_dump_json())


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def parsed(*arguments: str) -> Sample:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return Sample.model_validate_json(result.stdout)


def test_nothing_given_is_the_default() -> None:
    assert parsed() == Sample()


def test_every_kind() -> None:
    given = [
        "--count",
        "7",
        "--share",
        "0.5",
        "--colour",
        "green",
        "--heads",
        "0,2,4",
        "--names",
        "a,b",
        "--quick",
    ]
    assert parsed(*given) == Sample(
        count=7, share=0.5, colour="green", heads=(0, 2, 4), names=("a", "b"), quick=True
    )
    assert parsed("--no-quick") == Sample(quick=False)


def test_help_comes_from_the_docstrings() -> None:
    text = " ".join(run("--help").stdout.split())
    assert "--count INTEGER How many things. [default: 3]" in text
    assert "--share FLOAT Of the whole." in text
    assert "--colour [red|green] One of two. [default: red]" in text
    assert "--heads INT,... Numbers." in text
    assert "--quick / --no-quick" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count", "x"], "'x' is not a valid integer"),
        (["--colour", "blue"], "'blue' is not one of 'red', 'green'"),
        (["--colour", "gren"], "'gren' is not one of 'red', 'green'; did you mean 'green'?"),
        (["--heads", "1,b"], "expected int values with commas; got '1,b'"),
        (["--unknown", "1"], "No such option"),
    ],
)
def test_wrong_usage_is_status_2(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_what_pydantic_finds_wrong_is_named_by_option() -> None:
    with pytest.raises(click.UsageError, match=r"--stride: .*greater than or equal to 1 \(got 0\)"):
        read_config(ExtractConfig, {"stride": 0})
    with pytest.raises(click.UsageError, match=r"--also: .*expected LAYER\.FACET"):
        read_config(ExtractConfig, {"also": ("9",)})


def test_a_preset_sets_what_is_not_given() -> None:
    options = {"preset": "amir2021-coseg", "stride": 8, "elbow": None}
    config = read_config(CosegmentConfig, options)
    assert (config.stride, config.elbow, config.size) == (8, 0.975, 224)
    assert config.model == "vit_small_patch8_224.dino"
    assert options == {}


def test_comma_separated_takes_what_is_parsed_already() -> None:
    kind = CommaSeparated(int)
    assert kind.convert((1, 2), None, None) == (1, 2)
    assert kind.convert("", None, None) == ()
    assert kind.name == "int,..."
