"""Named, pinned settings: what a paper did. Defaults are what works best here; see the README.

Each entry holds every setting that its published number depends on, the number and its source.
A preset made for one capability also serves extraction alone, which takes its part of it.
"""

from dataclasses import dataclass
from typing import Any

from tasks.config import Config, CosegmentConfig

_DINO_S8 = {"model": "vit_small_patch8_224.dino", "weights": "hub", "position_resize": "dino"}
_DINO_S16 = {"model": "vit_small_patch16_224.dino", "weights": "hub", "position_resize": "dino"}
_PAPER_HEADS = (0, 2, 4, 5)  # Amir et al. average these of DINOv1 ViT-S/8


@dataclass(frozen=True, slots=True)
class Preset:
    """Settings as published.

    config: the capability's model. settings: its fields. benchmark, published: what was
    measured and what came out, as the source gives it. source: where.
    """

    config: type[Config]
    settings: dict[str, Any]
    benchmark: str
    published: str
    source: str


PRESETS: dict[str, Preset] = {
    "amir2021-coseg": Preset(
        config=CosegmentConfig,
        settings={
            **_DINO_S8,
            "layer": 11,
            "facet": "key",
            "stride": 4,
            "size": 224,
            "fit": "short",
            "multiple": 1,
            "interpolation": "lanczos",
            "saliency_heads": _PAPER_HEADS,
            "max_clusters": 15,
            "elbow": 0.975,
            "sample_step": 100,
            "rule": "votes",
            "threshold": 0.065,
            "share": 0.75,
            "refinement": "grabcut",
        },
        benchmark="MSRC, Internet300, PASCAL-VOC (Faktor & Irani), PASCAL-CO",
        published="Jaccard and precision, by data set",
        source="Amir et al. 2021, arXiv 2112.05814",
    ),
}


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


def _fits(made_for: type[Config], model: type[Config]) -> bool:
    return issubclass(model, made_for) or issubclass(made_for, model)
