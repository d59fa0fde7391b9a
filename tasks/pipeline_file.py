"""The YAML file of a pipeline: one source, one place for stores, one for results, many tasks."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeVar

import yaml
from pydantic import Field, ValidationError, field_validator

from storage.files import join, read_bytes
from tasks.config import Config, ExtractConfig
from tasks.presets import preset_settings

C = TypeVar("C", bound=Config)


class Step(Config):
    """One task of a pipeline."""

    flow: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """extract, or a flow that writes results, e.g. cosegment, search, propagate."""

    name: str = Field(default="", pattern=r"^([a-z][a-z0-9_-]*)?$")
    """How this task and the folder of its results are called; by default the flow's name."""

    out: str | None = None
    """Where its results are written; by default OUT/<name>."""

    store: str | None = None
    """Where its descriptors are or will be; by default a store below STORE."""

    preset: str | None = None
    """Named settings, as published."""

    settings: Mapping[str, Any] = Field(default_factory=dict)
    """Settings of this task; they win over the preset's and over those of the whole file."""

    arguments: Mapping[str, Any] = Field(default_factory=dict)
    """What the flow is given besides, e.g. point of search, mask of propagate."""

    of: str | None = None
    """Name of a task whose descriptors this one reads too; by default the settings say which."""

    @property
    def title(self) -> str:
        """`name`, defaults applied."""
        return self.name or self.flow


class PipelineFile(Config):
    """What `patchflow pipeline FILE.yaml` reads. All places may be any fsspec URL."""

    images: str
    """Folder, glob or list file."""

    store: str
    """Folder of the stores: one for each kind of descriptors that the tasks ask for."""

    out: str
    """Folder of the results: one folder for each task."""

    settings: Mapping[str, Any] = Field(default_factory=dict)
    """Settings of every task that has them, e.g. batch or size."""

    tasks: tuple[Step, ...] = Field(min_length=1)
    """Done in this order, each on its own: one that fails does not keep the others from ending."""

    @field_validator("tasks")
    @classmethod
    def _names_differ(cls, tasks: tuple[Step, ...]) -> tuple[Step, ...]:
        titles = [step.title for step in tasks]
        twice = sorted({title for title in titles if titles.count(title) > 1})
        if twice:
            raise ValueError(f"two tasks are called {twice[0]!r}; give one of them a name")
        for step in tasks:
            if step.of is not None and step.of not in titles:
                raise ValueError(f"task {step.title}: no task {step.of!r} to take descriptors of")
        return tasks

    def settings_of(self, step: Step, model: type[C], beside: type[Config] | None = None) -> C:
        """The settings of `step`: its own, else the file's, else its preset's, else defaults.

        Args:
            step: one of `tasks`. model: of the settings wanted.
            beside: model of the task's other settings, which are left to it.

        Raises:
            ValueError: an unknown preset or setting, or a value that does not fit.
        """
        start = preset_settings(step.preset, model) if step.preset else {}
        common = {k: v for k, v in self.settings.items() if k in model.model_fields}
        others = set(beside.model_fields) - set(model.model_fields) if beside else set()
        own = {k: v for k, v in step.settings.items() if k not in others}
        try:
            return model(**start | common | own)
        except ValidationError as error:
            raise ValueError(f"task {step.title}: {_sentence(error)}") from error

    def out_of(self, step: Step) -> str:
        """Where the results of `step` are written."""
        return step.out or join(self.out, step.title)

    def store_of(self, step: Step, config: ExtractConfig) -> str:
        """Where the descriptors of `step` are: tasks that need the same ones share a store."""
        return step.store or join(self.store, store_name(config))


def store_name(config: ExtractConfig) -> str:
    """A folder's name for descriptors of these settings; other settings, another name."""
    identity = json.dumps(config.extraction().identity(), sort_keys=True)
    digest = hashlib.blake2b(identity.encode(), digest_size=4).hexdigest()
    model = "".join(c if c.isalnum() or c in "._-" else "-" for c in config.model)
    return f"{model}-{config.layer}-{config.facet}-{digest}"


def read_pipeline_file(url: str) -> PipelineFile:
    """Read and check a pipeline's YAML file.

    Raises:
        ValueError: it is not there, is no YAML, or says something unknown; with what was wrong.
    """
    try:
        content = yaml.safe_load(read_bytes(url))
    except FileNotFoundError as error:
        raise ValueError(f"no pipeline file at {url}; deployments/README.md has one") from error
    except yaml.YAMLError as error:
        raise ValueError(f"{url} is no YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(  # noqa: TRY004 - of a file, not of a caller
            f"{url}: expected a mapping of {', '.join(PipelineFile.model_fields)}; "
            f"got {type(content).__name__}"
        )
    try:
        return PipelineFile(**content)
    except ValidationError as error:
        raise ValueError(f"{url}: {_sentence(error)}") from error


def _sentence(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, item['loc']))}: {item['msg']}".removeprefix(": ")
        for item in error.errors()
    )
