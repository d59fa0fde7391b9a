"""CorLoc: how often the one box of an image hits an object (Deselaers et al. 2010)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.ops.boxes import iou_xyxy


@dataclass(frozen=True, slots=True)
class TrueBoxes:
    """The labelled objects of one image. xyxy: (Q, 4). names: the class of each."""

    xyxy: np.ndarray
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if np.shape(self.xyxy) != (len(self.names), 4):
            raise ValueError(
                f"expected one (left, top, right, bottom) for each of {len(self.names)} names; "
                f"got boxes of shape {np.shape(self.xyxy)}"
            )


@dataclass(frozen=True, slots=True)
class CorLoc:
    """Shares in [0, 1].

    overall: images whose box has the IoU with any object, of all images with objects.
    by_class: images that hold the class and whose box has the IoU with an object of it, of all
    images that hold it. hits: (images,) bool. count: images with objects; those without one
    are left out, as the benchmarks do. ious: (images,) the best IoU with any object.
    """

    overall: float
    by_class: dict[str, float]
    hits: np.ndarray
    ious: np.ndarray
    count: int


def corloc(
    predicted_xyxy: Sequence[np.ndarray | None],
    truths: Sequence[TrueBoxes],
    *,
    threshold: float = 0.5,
) -> CorLoc:
    """Score one predicted box an image.

    Args:
        predicted_xyxy: (4,) an image, or None where nothing was found: a miss.
        truths: what is labelled there.
        threshold: smallest IoU of a hit.

    Raises:
        ValueError: lists of different lengths, or no image with an object.
    """
    if len(predicted_xyxy) != len(truths):
        raise ValueError(
            f"expected one prediction for each of {len(truths)} labelled images; "
            f"got {len(predicted_xyxy)}"
        )
    overlaps = [
        np.zeros(len(t.names)) if p is None else iou_xyxy(p, t.xyxy)[0]
        for p, t in zip(predicted_xyxy, truths, strict=True)
    ]
    ious = np.array([o.max(initial=0.0) for o in overlaps])
    labelled = np.array([bool(t.names) for t in truths])
    if not labelled.any():
        raise ValueError("CorLoc needs at least one image with a labelled object; got none")
    hits = ious >= threshold
    return CorLoc(
        overall=float(hits[labelled].mean()),
        by_class=_by_class(overlaps, truths, threshold),
        hits=hits,
        ious=ious,
        count=int(labelled.sum()),
    )


def _by_class(
    overlaps: Sequence[np.ndarray], truths: Sequence[TrueBoxes], threshold: float
) -> dict[str, float]:
    found: dict[str, list[bool]] = {}
    for overlap, truth in zip(overlaps, truths, strict=True):
        names = np.array(truth.names)
        for name in sorted(set(truth.names)):
            found.setdefault(name, []).append(bool((overlap[names == name] >= threshold).any()))
    return {name: float(np.mean(found[name])) for name in sorted(found)}
