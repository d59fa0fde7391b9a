"""Named, pinned settings: what a paper did. Defaults are what works best here; see the README.

Each preset holds every setting that its published number depends on, the number and its source;
`patchflow presets` lists them. A preset made for one capability also serves extraction alone,
which takes its part of it.
"""

from typing import Any

from tasks.config import Config
from tasks.published.discovery import DISCOVERY
from tasks.published.matching import MATCHING
from tasks.published.preset import Preset
from tasks.published.segmentation import SEGMENTATION
from tasks.published.video import VIDEO

__all__ = ["PRESETS", "Preset", "preset_names", "preset_settings", "published_for"]

PRESETS: dict[str, Preset] = {**MATCHING, **SEGMENTATION, **VIDEO, **DISCOVERY}


def preset_names(model: type[Config]) -> list[str]:
    """Presets that `model` can take: made for it, for its base, or holding it as a base."""
    return [n for n, p in PRESETS.items() if _fits(p.config, model)]


def preset_settings(name: str, model: type[Config]) -> dict[str, Any]:
    """The settings of preset `name` that are fields of `model`.

    Raises:
        ValueError: no such preset for this model, with those that there are.
    """
    if name not in preset_names(model):
        known = ", ".join(preset_names(model)) or "none"
        raise ValueError(f"no preset {name!r} for {model.__name__}; there are: {known}")
    return {k: v for k, v in PRESETS[name].settings.items() if k in model.model_fields}


def published_for(benchmark: str) -> dict[str, Preset]:
    """The presets with a published number on a benchmark of `patchflow evaluate`."""
    return {name: preset for name, preset in PRESETS.items() if benchmark in preset.evaluates}


def _fits(made_for: type[Config], model: type[Config]) -> bool:
    return issubclass(model, made_for) or issubclass(made_for, model)
