"""What an evaluation may be told, by a program or by a form of the Prefect UI."""

from typing import Annotated, Any

from pydantic import ValidationError, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from flows.benchmarks import BENCHMARKS
from tasks.config import CosegmentConfig, ExtractConfig
from tasks.discover_config import DiscoverConfig
from tasks.match_config import MatchConfig
from tasks.motion_config import MotionConfig
from tasks.parts_config import PartsConfig
from tasks.presets import PRESETS, preset_settings
from tasks.video_config import PropagateConfig

# A form offers the models; what it sends is a mapping, which may fit several of them: the
# benchmark says which one is meant.
Settings = (
    SkipJsonSchema[dict[str, Any]]
    | CosegmentConfig
    | DiscoverConfig
    | MatchConfig
    | MotionConfig
    | PartsConfig
    | PropagateConfig
)
BenchmarkName = Annotated[str, WithJsonSchema({"type": "string", "enum": list(BENCHMARKS)})]
PresetName = Annotated[str, WithJsonSchema({"type": "string", "enum": list(PRESETS)})]


def settings_of(benchmark: str, given: Settings | None, preset: str | None) -> ExtractConfig:
    """All settings of an evaluation: the given ones, else the preset's, else the defaults.

    Raises:
        ValueError: no such benchmark or preset, or settings that it does not have.
    """
    if benchmark not in BENCHMARKS:
        raise ValueError(f"no benchmark {benchmark!r}; there are: {', '.join(BENCHMARKS)}")
    model = BENCHMARKS[benchmark].config
    if isinstance(given, model):
        return given
    if isinstance(given, ExtractConfig):
        raise ValueError(  # noqa: TRY004 - of a file or a form as well
            f"{benchmark} takes the settings of {model.__name__}; got {type(given).__name__}"
        )
    start = preset_settings(preset, model) if preset else {}
    try:
        return model(**start | dict(given or {}))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ValueError(f"settings of {benchmark} ({model.__name__}): {wrong}") from error
