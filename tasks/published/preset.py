"""One published setting."""

from dataclasses import dataclass
from typing import Any

from tasks.config import Config

DINO_S8 = {"model": "vit_small_patch8_224.dino", "weights": "hub", "position_resize": "dino"}
DINO_S16 = {"model": "vit_small_patch16_224.dino", "weights": "hub", "position_resize": "dino"}
PAPER_HEADS = (0, 2, 4, 5)  # Amir et al. average these of DINOv1 ViT-S/8


@dataclass(frozen=True, slots=True)
class Preset:
    """Settings as published.

    config: the capability's model. settings: its fields. benchmark, published: what was
    measured and what came out, as the source gives it. source: where. evaluates: the names in
    `patchflow evaluate` that measure it.
    """

    config: type[Config]
    settings: dict[str, Any]
    benchmark: str
    published: str
    source: str
    evaluates: tuple[str, ...] = ()
