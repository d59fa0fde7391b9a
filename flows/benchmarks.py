"""The benchmarks of `patchflow evaluate`; imports nothing heavy.

To add one: a module in `tasks.benchmarks` loads its layout and scores results; a flow
``evaluate_<family>`` in ``flows/evaluate_<family>.py`` takes (benchmark, root, out, config,
choice) and returns `tasks.scores.Scores`; an entry below names them. `patchflow evaluate NAME`
and its options follow from the entry.
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from tasks.config import CosegmentConfig, ExtractConfig
from tasks.discover_config import DiscoverConfig
from tasks.match_config import MatchConfig
from tasks.motion_config import MotionConfig
from tasks.parts_config import PartsConfig
from tasks.video_config import PropagateConfig


@dataclass(frozen=True, slots=True)
class Choice:
    """A part of a benchmark. names: classes or sequences, all if empty. limit: items of each."""

    names: Annotated[tuple[str, ...], Field(description="Classes or sequences; empty: all.")] = ()
    limit: Annotated[int | None, Field(ge=1, description="Items of each; by default all.")] = None


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One entry of `patchflow evaluate`. flow: ``module:function``. parts: what names select."""

    config: type[ExtractConfig]
    flow: str
    parts: str
    about: str


BENCHMARKS: dict[str, Benchmark] = {
    "pascal-coseg": Benchmark(
        CosegmentConfig,
        "flows.evaluate_coseg:evaluate_coseg",
        "classes",
        "PASCAL-VOC co-segmentation set of Faktor & Irani 2013: Jaccard and precision.",
    ),
    "pascal-co": Benchmark(
        CosegmentConfig,
        "flows.evaluate_coseg:evaluate_coseg",
        "classes",
        "PASCAL-CO of Amir et al. 2021, sets across classes: Jaccard and precision.",
    ),
    "msrc": Benchmark(
        CosegmentConfig,
        "flows.evaluate_coseg:evaluate_coseg",
        "classes",
        "MSRC as Rubinstein et al. 2013 distribute it: Jaccard and precision.",
    ),
    "internet300": Benchmark(
        CosegmentConfig,
        "flows.evaluate_coseg:evaluate_coseg",
        "classes",
        "Airplane100, Car100 and Horse100 of Rubinstein et al. 2013: Jaccard and precision.",
    ),
    "icoseg": Benchmark(
        CosegmentConfig,
        "flows.evaluate_coseg:evaluate_coseg",
        "classes",
        "Sets of iCoseg (Batra et al. 2010): Jaccard and precision.",
    ),
    "davis2016": Benchmark(
        PropagateConfig,
        "flows.evaluate_davis:evaluate_davis",
        "sequences",
        "DAVIS-2016 val, the first mask given: J and F of the one object.",
    ),
    "davis2017": Benchmark(
        PropagateConfig,
        "flows.evaluate_davis:evaluate_davis",
        "sequences",
        "DAVIS-2017 val, the first mask given: J and F of every object.",
    ),
    "davis2016-unsupervised": Benchmark(
        PropagateConfig,
        "flows.evaluate_davis:evaluate_davis",
        "sequences",
        "DAVIS-2016 val without any mask: J and F of the salient object.",
    ),
    "davis2017-unsupervised": Benchmark(
        PropagateConfig,
        "flows.evaluate_proposals:evaluate_proposals",
        "sequences",
        "DAVIS-2017 val without any mask: J and F of objects paired with proposals.",
    ),
    "d-re10k": Benchmark(
        MotionConfig,
        "flows.evaluate_motion:evaluate_motion",
        "scenes",
        "Dynamic-RE10K of Chen et al. 2026: mIoU of motion masks, PSNR of given renderings.",
    ),
    "d-re10k-iphone": Benchmark(
        MotionConfig,
        "flows.evaluate_motion:evaluate_motion",
        "scenes",
        "Its iPhone clips: mIoU of motion masks, PSNR of given renderings.",
    ),
    "cub": Benchmark(
        PartsConfig,
        "flows.evaluate_birds:evaluate_birds",
        "classes",
        "CUB-200-2011 of Wah et al. 2011: NMI, ARI and landmark error of parts.",
    ),
    "voc2007": Benchmark(
        DiscoverConfig,
        "flows.evaluate_discovery:evaluate_discovery",
        "classes",
        "Object discovery on PASCAL VOC 2007 trainval: CorLoc.",
    ),
    "voc2012": Benchmark(
        DiscoverConfig,
        "flows.evaluate_discovery:evaluate_discovery",
        "classes",
        "Object discovery on PASCAL VOC 2012 trainval: CorLoc, Jaccard where masks are.",
    ),
    "coco20k": Benchmark(
        DiscoverConfig,
        "flows.evaluate_discovery:evaluate_discovery",
        "classes",
        "Object discovery on 19,817 images of COCO train2014 (Vo et al. 2020): CorLoc.",
    ),
    "pf-willow": Benchmark(
        MatchConfig,
        "flows.evaluate_match:evaluate_keypoints",
        "classes",
        "PF-WILLOW of Ham et al. 2016: PCK over the box of the keypoints.",
    ),
    "pf-willow-parts": Benchmark(
        PartsConfig,
        "flows.evaluate_parts:evaluate_parts",
        "classes",
        "Parts of PF-WILLOW's sub-classes: how often a keypoint lies in its commonest part.",
    ),
    "pf-pascal": Benchmark(
        MatchConfig,
        "flows.evaluate_match:evaluate_keypoints",
        "classes",
        "PF-PASCAL of Ham et al. 2018: PCK over the image.",
    ),
    "spair71k": Benchmark(
        MatchConfig,
        "flows.evaluate_match:evaluate_keypoints",
        "classes",
        "SPair-71k of Min et al. 2019, test split: PCK over the object's box.",
    ),
    "tss": Benchmark(
        MatchConfig,
        "flows.evaluate_match:evaluate_flow",
        "subsets",
        "TSS of Taniai et al. 2016: dense flow, PCK of the foreground's pixels.",
    ),
    "ap-10k": Benchmark(
        MatchConfig,
        "flows.evaluate_match:evaluate_keypoints",
        "classes",
        "AP-10K of Yu et al. 2021: PCK over the animal's box, neighbours of a species paired.",
    ),
}
