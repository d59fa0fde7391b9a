"""Objects without labels."""

from tasks.discover_config import DiscoverConfig
from tasks.published.preset import DINO_S16, Preset

DISCOVERY: dict[str, Preset] = {
    "lost-fullres": Preset(
        config=DiscoverConfig,
        settings={
            **DINO_S16,
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
        evaluates=("voc2007", "voc2012", "coco20k"),
    ),
    "tokencut-fullres": Preset(
        config=DiscoverConfig,
        settings={
            **DINO_S16,
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
        evaluates=("voc2007", "voc2012", "coco20k"),
    ),
    "tokencut-lift448": Preset(
        config=DiscoverConfig,
        settings={
            **DINO_S16,
            "layer": 11,
            "facet": "key",
            "stride": 16,
            "fit": "square",
            "size": 448,
            "method": "token_cut",
            "tau": 0.2,
            "by_saliency": False,
        },
        benchmark="CorLoc on VOC07 / VOC12",
        published="68.27 / 71.64",
        source="LiFT, arXiv 2403.14625",
        evaluates=("voc2007", "voc2012"),
    ),
    "tokencut-lift448-coco": Preset(
        config=DiscoverConfig,
        settings={
            **DINO_S16,
            "layer": 11,
            "facet": "key",
            "stride": 16,
            "fit": "square",
            "size": 448,
            "method": "token_cut",
            "tau": 0.3,
            "by_saliency": False,
        },
        benchmark="CorLoc on COCO20k",
        published="57.99",
        source="LiFT, arXiv 2403.14625",
        evaluates=("coco20k",),
    ),
}
