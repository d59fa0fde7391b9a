"""Named, pinned settings: what a paper did. Defaults are what works best here; see the README.

Each entry holds every setting that its published number depends on, the number and its source.
A preset made for one capability also serves extraction alone, which takes its part of it.
"""

from dataclasses import dataclass
from typing import Any

from tasks.config import Config, CosegmentConfig
from tasks.discover_config import DiscoverConfig
from tasks.match_config import CorrespondConfig, MatchConfig
from tasks.video_config import PropagateConfig

_PLAIN_MATCHING = {
    "dtype": "float16",
    "also": (),
    "hierarchy": 0,
    "align": False,
    "mirror": False,
    "window": 0,
}
_DINO_S8 = {"model": "vit_small_patch8_224.dino", "weights": "hub", "position_resize": "dino"}
_DINO_S16 = {"model": "vit_small_patch16_224.dino", "weights": "hub", "position_resize": "dino"}
# DINO's label propagation (arXiv 2104.14294, appendix); DINOv3's differs in three settings.
_DINO_VIDEO = {
    "also": (),
    "stride_x": None,
    "passes": "strided",
    "fit": "short",
    "multiple": 64,
    "channels": None,
    "recent": 7,
    "radius": 12,
    "neighbourhood": "square",
    "top_k": 5,
    "temperature": 0.1,
    "labels": "patch",
    "refinement": "none",
}
_DINOV3_VIDEO = {
    **_DINO_VIDEO,
    "multiple": None,
    "neighbourhood": "circle",
    "temperature": 0.2,
}
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
    "amir2021-corr": Preset(
        config=CorrespondConfig,
        settings={
            **_DINO_S8,
            **_PLAIN_MATCHING,
            "layer": 9,
            "facet": "key",
            "stride": 4,
            "size": 224,
            "fit": "short",
            "multiple": 1,
            "interpolation": "lanczos",
            "saliency_heads": _PAPER_HEADS,
            "hierarchy": 2,
            "pairs": 10,
            "threshold": 0.05,
        },
        benchmark="SPair-71k, 360 pairs",
        published="not comparable: users replicate 6 to 10 points less than the paper",
        source="Amir et al. 2021, arXiv 2112.05814",
    ),
    "asic-spair224": Preset(
        config=MatchConfig,
        settings={
            **_DINO_S8,
            **_PLAIN_MATCHING,
            "layer": 9,
            "facet": "key",
            "stride": 4,
            "size": 224,
            "fit": "pad",
        },
        benchmark="SPair-71k test, PCK@0.1",
        published="33.3 (mean over 18 categories; 35.0 pooled)",
        source="Gupta et al. 2023 (ASIC), arXiv 2303.16201",
    ),
    "sddino-dinov2-840": Preset(
        config=MatchConfig,
        settings={
            **_PLAIN_MATCHING,
            "model": "vit_base_patch14_dinov2.lvd142m",
            "weights": "hub",
            "position_resize": "dinov2",
            "layer": 11,
            "facet": "token",
            "stride": 14,
            "size": 840,
            "fit": "pad",
        },
        benchmark="SPair-71k test, PCK@0.1",
        published="55.6",
        source="Zhang et al. 2023 (SD-DINO), arXiv 2305.15347",
    ),
    "amir2021-coseg": Preset(
        config=CosegmentConfig,
        settings={
            **_DINO_S8,
            "dtype": "float16",
            "layer": 11,
            "facet": "key",
            "stride": 4,
            "size": 224,
            "fit": "short",
            "multiple": 1,
            "interpolation": "lanczos",
            "saliency_heads": _PAPER_HEADS,
            "also": (),
            "max_clusters": 15,
            "elbow": 0.975,
            "sample_step": 100,
            "rule": "votes",
            "threshold": 0.065,
            "share": 0.75,
            "strongest": 0.0,
            "refinement": "grabcut",
        },
        benchmark="MSRC, Internet300, PASCAL-VOC (Faktor & Irani), PASCAL-CO",
        published="Jaccard and precision, by data set",
        source="Amir et al. 2021, arXiv 2112.05814",
    ),
    "dino-davis480": Preset(
        config=PropagateConfig,
        settings={
            **_DINO_S16,
            "layer": 11,
            "facet": "normed_token",
            "size": 480,
            "stride": 16,
            **_DINO_VIDEO,
        },
        benchmark="DAVIS-2017 val, J&F",
        published="61.8",
        source="DINO, arXiv 2104.14294, table 5",
    ),
    "dino-davis480-s8": Preset(
        config=PropagateConfig,
        settings={
            **_DINO_S8,
            "layer": 11,
            "facet": "normed_token",
            "size": 480,
            "stride": 8,
            **_DINO_VIDEO,
        },
        benchmark="DAVIS-2017 val, J&F",
        published="69.9",
        source="DINO, arXiv 2104.14294, table 5",
    ),
    "dino-davis480-b8": Preset(
        config=PropagateConfig,
        settings={
            **_DINO_S8,
            "model": "vit_base_patch8_224.dino",
            "layer": 11,
            "facet": "normed_token",
            "size": 480,
            "stride": 8,
            **_DINO_VIDEO,
        },
        benchmark="DAVIS-2017 val, J&F",
        published="71.4",
        source="DINO, arXiv 2104.14294, table 5",
    ),
    "lift-davis448": Preset(
        config=PropagateConfig,
        settings={
            **_DINO_S16,
            "layer": 11,
            "facet": "key",
            "size": 448,
            "stride": 16,
            **_DINO_VIDEO,
            "fit": "square",
            "multiple": None,
        },
        benchmark="DAVIS-2017 val, J&F",
        published="50.9 (J 52.1)",
        source="LiFT, arXiv 2403.14625",
    ),
    "dinov3-davis960": Preset(
        config=PropagateConfig,
        settings={
            "model": "vit_7b_patch16_dinov3.lvd1689m",
            "weights": "hub",
            "layer": 39,
            "facet": "normed_token",
            "size": 960,
            "stride": 16,
            **_DINOV3_VIDEO,
        },
        benchmark="DAVIS-2017 val, J&F",
        published="79.7",
        source="DINOv3, arXiv 2508.10104",
    ),
    "dinov3-davis960-dinov2": Preset(
        config=PropagateConfig,
        settings={
            "model": "vit_giant_patch14_dinov2.lvd142m",
            "weights": "hub",
            "layer": 39,
            "facet": "normed_token",
            "size": 960,
            "stride": 14,
            **_DINOV3_VIDEO,
        },
        benchmark="DAVIS-2017 val, J&F",
        published="73.6",
        source="DINOv3, arXiv 2508.10104",
    ),
    "lost-fullres": Preset(
        config=DiscoverConfig,
        settings={
            **_DINO_S16,
            "layer": 11,
            "facet": "key",
            "stride": 16,
            "fit": "native",
            "method": "lost",
            "neighbours": 100,
            "center": False,
        },
        benchmark="CorLoc on VOC07 / VOC12 / COCO20k",
        published="61.9 / 64.0 / 50.7",
        source="Siméoni et al. 2021, arXiv 2109.14279",
    ),
    "tokencut-fullres": Preset(
        config=DiscoverConfig,
        settings={
            **_DINO_S16,
            "layer": 11,
            "facet": "key",
            "stride": 16,
            "fit": "native",
            "method": "token_cut",
            "tau": 0.2,
            "by_saliency": False,
        },
        benchmark="CorLoc on VOC07 / VOC12 / COCO20k",
        published="68.8 / 72.1 / 58.8",
        source="Wang et al. 2022, arXiv 2202.11539",
    ),
    "tokencut-lift448": Preset(
        config=DiscoverConfig,
        settings={
            **_DINO_S16,
            "layer": 11,
            "facet": "key",
            "stride": 16,
            "fit": "square",
            "size": 448,
            "method": "token_cut",
            "tau": 0.2,
            "by_saliency": False,
        },
        benchmark="CorLoc on VOC07 / VOC12 / COCO20k",
        published="68.27 / 71.64 / 57.99 (COCO with tau 0.3)",
        source="LiFT, arXiv 2403.14625",
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
