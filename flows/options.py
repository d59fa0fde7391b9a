"""Options of the command line, generated from the settings' models."""

import difflib
import types
from collections.abc import Callable
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import click
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from tasks.config import Config
from tasks.presets import preset_names, preset_settings

C = TypeVar("C", bound=Config)

# A file, a folder or any fsspec URL: shells complete it from the disk.
PLACE = click.Path()


def config_options(model: type[Config]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add one option for each field of `model`, and ``--preset``, to a click command.

    An option that is not given is passed as None, so that the preset's value or the default
    stands; its help text is the docstring below the field.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for name, field in reversed(model.model_fields.items()):
            command = click.option(*_flags(name, field), name, **_settings(field))(command)
        names = preset_names(model)
        return click.option(
            "--preset",
            type=click.Choice(names) if names else click.STRING,
            help="Named settings, as published; options given beside it win.",
        )(command)

    return decorate


def read_config(model: type[C], options: dict[str, Any]) -> C:
    """Take `model`'s fields and ``preset`` out of parsed `options` and build the settings.

    Raises:
        click.UsageError: what pydantic found wrong, by option name.
    """
    preset = options.pop("preset", None)
    given = {name: options.pop(name) for name in model.model_fields if name in options}
    start = preset_settings(preset, model) if preset else {}
    known = {name: value for name, value in given.items() if value is not None}
    try:
        return model(**start | known)
    except ValidationError as error:
        lines = [
            f"--{'.'.join(map(str, item['loc'])).replace('_', '-')}: {item['msg']}"
            + (f" (got {item['input']!r})" if item["type"] != "missing" else "")
            for item in error.errors()
        ]
        raise click.UsageError("; ".join(lines)) from error


class NearestChoice(click.Choice[str]):
    """One of several words; a misspelt one is answered with the nearest."""

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """The word itself."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            near = difflib.get_close_matches(str(value), list(self.choices), n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            message = error.message.rstrip(".") + hint
            raise click.BadParameter(message, ctx=ctx, param=param) from error


class CommaSeparated(click.ParamType):
    """``1,2,3`` as a tuple."""

    def __init__(self, item: type) -> None:
        self.item = item
        self.name = f"{item.__name__},..."

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """One element for each comma."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(self.item(part) for part in value.split(",") if part)
        except ValueError:
            self.fail(
                f"expected {self.item.__name__} values with commas; got {value!r}", param, ctx
            )


def _flags(name: str, field: FieldInfo) -> list[str]:
    flag = name.replace("_", "-")
    return [f"--{flag}/--no-{flag}"] if field.annotation is bool else [f"--{flag}"]


def _settings(field: FieldInfo) -> dict[str, Any]:
    default = field.get_default(call_default_factory=True)
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
    note = "" if default is None or default == () else f"  [default: {shown}]"
    help_text = " ".join((field.description or "").split()) + note
    settings: dict[str, Any] = {"default": None, "help": help_text}
    if field.annotation is not bool:
        settings["type"] = _click_type(field.annotation)
    return settings


def _click_type(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(a for a in get_args(annotation) if a is not type(None))
    if get_origin(annotation) is Literal:
        return NearestChoice([str(a) for a in get_args(annotation)])
    if get_origin(annotation) is tuple:
        return CommaSeparated(get_args(annotation)[0])
    return annotation if annotation in (int, float) else click.STRING
