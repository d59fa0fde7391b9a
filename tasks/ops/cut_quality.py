"""How far a normalised cut of some descriptors can be trusted: what layers are chosen by.

Which layer and facet tells objects from backgrounds differs from model to model (the last
layer's keys do for DINO and do not for DINOv2), but a good one shows without any label: its cut
falls along what the model itself attends to, it hardly moves when the graph's threshold does,
and its eigenvalue stands apart from the next.
"""

import math
from typing import NamedTuple

import numpy as np

from tasks.ops.arrays import Array, array_namespace, to_numpy
from tasks.ops.boxes import mask_iou
from tasks.ops.discovery import mean_cosine, read_scene, separation
from tasks.ops.spectral import cut_vectors, threshold_affinity
from tasks.ops.token_cut import partition

MOST = 2000  # patches of an image that are cut
SPREAD = 0.3  # standard deviations of the cosines by which the threshold is moved


class CutQuality(NamedTuple):
    """One image's cut, all in [0, 1].

    agreement: the chance that a patch of the more salient side is more salient than one of the
    other, from 0.5. stability: Jaccard index with the cuts at a lower and a higher threshold,
    mean of both. gap: (lambda_3 - lambda_2) / lambda_3. alike: mean cosine of all patches.
    """

    agreement: float
    stability: float
    gap: float
    alike: float

    @property
    def worth(self) -> float:
        """Stable agreement with saliency: 0 for a cut that says nothing, 1 for a perfect one."""
        return (2 * self.agreement - 1) * self.stability


NO_CUT = CutQuality(0.5, 0.0, 0.0, 1.0)


def cut_quality(descriptors: Array, saliency: np.ndarray) -> list[CutQuality]:
    """Cut each image at the mean cosine, and at SPREAD deviations below and above it.

    Grids of more than MOST patches are thinned first: quality needs no fine edges.

    Args:
        descriptors: (B, rows, cols, D). saliency: (B, rows, cols).

    Raises:
        ValueError: see `discovery.read_scene`.
    """
    rows, cols = saliency.shape[1:]
    step = math.ceil(math.sqrt(rows * cols / MOST))
    scene = read_scene(descriptors[:, ::step, ::step], saliency[:, ::step, ::step])
    unit = scene.unit
    if unit.shape[1] < 4:
        return [NO_CUT for _ in unit]
    mean = mean_cosine(unit)
    step = SPREAD * cosine_deviation(unit)
    sides, values = [], []
    for tau in (mean, mean - step, mean + step):
        cuts = cut_vectors(threshold_affinity(unit, tau), 2)
        vectors = to_numpy(cuts.vectors)[:, :, 0]
        sides.append([partition(vector, scene.shape).side for vector in vectors])
        values.append(to_numpy(cuts.values))
    return [
        CutQuality(
            agreement=_either_way(separation(scene.saliency[i], side)),
            stability=float(np.mean([_same(side, other[i]) for other in sides[1:]])),
            gap=float((values[0][i, 1] - values[0][i, 0]) / max(values[0][i, 1], 1e-12)),
            alike=alike,
        )
        for i, (side, alike) in enumerate(zip(sides[0], to_numpy(mean).tolist(), strict=True))
    ]


def cosine_deviation(unit: Array) -> Array:
    """Standard deviation of all N^2 cosines, (B,), from D^2 sums instead of N^2."""
    xp = array_namespace(unit)
    moment = unit.mT @ unit / unit.shape[1]
    squares = xp.sum(xp.square(moment), axis=(1, 2))
    return xp.sqrt(xp.clip(squares - xp.square(mean_cosine(unit)), 0, None))


def _either_way(chance: float) -> float:
    return max(chance, 1 - chance)


def _same(side: np.ndarray, other: np.ndarray) -> float:
    return max(mask_iou(side, other), mask_iou(side, ~other))
