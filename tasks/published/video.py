"""Masks through videos."""

from tasks.published.preset import DINO_S8, DINO_S16, Preset
from tasks.video_config import PropagateConfig

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

VIDEO: dict[str, Preset] = {
    "dino-davis480": Preset(
        config=PropagateConfig,
        settings={
            **DINO_S16,
            "layer": 11,
            "facet": "normed_token",
            "size": 480,
            "stride": 16,
            **_DINO_VIDEO,
        },
        benchmark="DAVIS-2017 val, J&F",
        published="61.8",
        source="DINO, arXiv 2104.14294, table 5",
        evaluates=("davis2017",),
    ),
    "dino-davis480-s8": Preset(
        config=PropagateConfig,
        settings={
            **DINO_S8,
            "layer": 11,
            "facet": "normed_token",
            "size": 480,
            "stride": 8,
            **_DINO_VIDEO,
        },
        benchmark="DAVIS-2017 val, J&F",
        published="69.9",
        source="DINO, arXiv 2104.14294, table 5",
        evaluates=("davis2017",),
    ),
    "dino-davis480-b8": Preset(
        config=PropagateConfig,
        settings={
            **DINO_S8,
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
        evaluates=("davis2017",),
    ),
    "lift-davis448": Preset(
        config=PropagateConfig,
        settings={
            **DINO_S16,
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
        evaluates=("davis2017",),
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
        evaluates=("davis2017",),
    ),
    "dinov3-davis960-dinov2": Preset(
        config=PropagateConfig,
        settings={
            "model": "vit_giant_patch14_dinov2.lvd142m",
            "weights": "hub",
            "position_resize": "dinov2",
            "layer": 39,
            "facet": "normed_token",
            "size": 960,
            "stride": 14,
            **_DINOV3_VIDEO,
        },
        benchmark="DAVIS-2017 val, J&F",
        published="73.6",
        source="DINOv3, arXiv 2508.10104",
        evaluates=("davis2017",),
    ),
}
