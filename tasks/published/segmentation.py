"""Co-segmentation."""

from tasks.config import CosegmentConfig
from tasks.published.preset import DINO_S8, PAPER_HEADS, Preset

_AMIR2021 = {
    **DINO_S8,
    "dtype": "float16",
    "layer": 11,
    "facet": "key",
    "stride": 4,
    "size": 224,
    "fit": "short",
    "multiple": 1,
    "interpolation": "lanczos",
    "saliency_heads": PAPER_HEADS,
    "also": (),
    "max_clusters": 15,
    "elbow": 0.975,
    "sample_step": 100,
    "rule": "votes",
    "threshold": 0.065,
    "share": 0.75,
    "strongest": 0.0,
    "refinement": "grabcut",
}

SEGMENTATION: dict[str, Preset] = {
    "amir2021-coseg": Preset(
        config=CosegmentConfig,
        settings=_AMIR2021,
        benchmark="MSRC, Internet300, PASCAL-VOC (Faktor & Irani), PASCAL-CO",
        published="Jaccard and precision, by data set",
        source="Amir et al. 2021, arXiv 2112.05814",
        evaluates=("msrc", "internet300", "pascal-coseg", "pascal-co"),
    ),
    # The frames of a clip are the set; what they share is taken for what moves.
    "rayzer-coseg": Preset(
        config=CosegmentConfig,
        settings=_AMIR2021,
        benchmark="D-RE10K / D-RE10K-iPhone, PSNR of a view synthesiser that leaves the masks out",
        published="18.67 / 17.96 dB: the synthesiser is no part of this project",
        source="Chen et al. 2026 (WildRayZer), arXiv 2601.10716",
        evaluates=("d-re10k", "d-re10k-iphone"),
    ),
}
