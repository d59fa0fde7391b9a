"""Correspondences and keypoint transfer."""

from tasks.match_config import CorrespondConfig, MatchConfig
from tasks.published.preset import DINO_S8, PAPER_HEADS, Preset

_PLAIN_MATCHING = {
    "dtype": "float16",
    "also": (),
    "hierarchy": 0,
    "align": False,
    "mirror": False,
    "hubness": 0.0,
    "window": 0,
}

MATCHING: dict[str, Preset] = {
    "amir2021-corr": Preset(
        config=CorrespondConfig,
        settings={
            **DINO_S8,
            **_PLAIN_MATCHING,
            "layer": 9,
            "facet": "key",
            "stride": 4,
            "size": 224,
            "fit": "short",
            "multiple": 1,
            "interpolation": "lanczos",
            "saliency_heads": PAPER_HEADS,
            "hierarchy": 2,
            "pairs": 10,
            "threshold": 0.05,
        },
        benchmark="SPair-71k, 360 pairs",
        published="not comparable: users replicate 6 to 10 points less than the paper",
        source="Amir et al. 2021, arXiv 2112.05814",
        evaluates=("spair71k",),
    ),
    "asic-spair224": Preset(
        config=MatchConfig,
        settings={
            **DINO_S8,
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
        evaluates=("spair71k",),
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
        evaluates=("spair71k",),
    ),
    "sddino-pfpascal224": Preset(
        config=MatchConfig,
        settings={
            **DINO_S8,
            **_PLAIN_MATCHING,
            "layer": 9,
            "facet": "key",
            "stride": 4,
            "size": 224,
            "fit": "pad",
        },
        # The padded image's size is the longer side of the image that was padded.
        benchmark="PF-PASCAL, PCK@0.1 of the padded image's size",
        published="62.4 (source from memory)",
        source="Zhang et al. 2023 (SD-DINO), arXiv 2305.15347",
        evaluates=("pf-pascal",),
    ),
    "sddino-tss480": Preset(
        config=MatchConfig,
        settings={
            **DINO_S8,
            **_PLAIN_MATCHING,
            "layer": 9,
            "facet": "key",
            "stride": 8,
            "size": 480,
            "fit": "pad",
        },
        benchmark="TSS, foreground PCK@0.05 of the source's longer side, mean over subsets",
        published="64.7 (origin not found)",
        source="Zhang et al. 2023 (SD-DINO), arXiv 2305.15347",
        evaluates=("tss",),
    ),
}
