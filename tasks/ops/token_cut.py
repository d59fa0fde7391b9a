"""TokenCut (Wang et al. 2022, arXiv 2202.11539) and MaskCut (CutLER, arXiv 2301.11320)."""

from typing import NamedTuple

import numpy as np

from tasks.ops.arrays import Array, array_namespace, to_numpy
from tasks.ops.boxes import component_at, mask_iou
from tasks.ops.discovery import (
    Discovery,
    Scene,
    mean_cosine,
    nothing,
    one_object,
    read_scene,
    separation,
)
from tasks.ops.spectral import CutVectors, cut_vectors, threshold_affinity

_CROWDED = 0.95  # density of a graph whose cut follows a few odd patches
_LONE = 1e-6  # 1 - lambda of a second vector that is noise


class Cut(NamedTuple):
    """One image's partition. soft: (rows, cols) float64 eigenvector, positive inside. side:
    (rows, cols) bool. seed: flat index of the largest |y|.
    """

    soft: np.ndarray
    side: np.ndarray
    seed: int


def token_cut(
    descriptors: Array,
    saliency: np.ndarray,
    *,
    tau: float | None = None,
    by_saliency: bool = False,
    eps: float = 1e-5,
) -> list[Discovery]:
    """Find one object an image by a normalised cut.

    W = 1 where the cosine exceeds `tau`, else `eps`; the second smallest y of
    (D - W) y = lambda D y is split at its mean; the foreground holds argmax |y|.

    Args:
        descriptors: (B, rows, cols, D). saliency: (B, rows, cols).
        tau: in [-1, 1]; the paper's is 0.2 (COCO 0.3) for last-layer keys of DINOv1. None: the
            image's mean cosine, which fits any layer of any model.
        by_saliency: the foreground is the more salient side, and its most salient component
            the object, whatever argmax |y| says.

    Raises:
        ValueError: see `discovery.read_scene`; a tau outside of [-1, 1].
    """
    _check_tau(tau)
    scene = read_scene(descriptors, saliency)
    graph = _graph(scene.unit, tau, eps)
    if scene.raw.shape[1] < 3:
        return [nothing(scene.shape, "fewer than 3 patches: nothing to cut") for _ in graph]
    cuts = cut_vectors(graph)
    density = _density(graph)
    return [
        _first_object(scene, cuts, image, joined, by_saliency)
        for image, joined in enumerate(density)
    ]


def mask_cut(
    descriptors: Array,
    saliency: np.ndarray,
    *,
    tau: float | None = None,
    objects: int = 3,
    eps: float = 1e-5,
) -> list[Discovery]:
    """Find up to `objects` objects an image: TokenCut again and again.

    After each cut the rows and columns of the found patches are set to `eps`. A side that holds
    three or four of the image's corners is background and the cut is turned round. The search
    ends at a mask that mostly repeats an earlier one (IoU above 0.5).

    Args, Raises: as `token_cut`.
    """
    _check_tau(tau)
    scene = read_scene(descriptors, saliency)
    graph = _graph(scene.unit, tau, eps)
    if scene.raw.shape[1] < 3:
        return [nothing(scene.shape, "fewer than 3 patches: nothing to cut") for _ in graph]
    found: list[list[Discovery]] = [[] for _ in graph]
    searching = set(range(len(graph)))
    for _ in range(objects):
        cuts = cut_vectors(graph)
        density = _density(graph)
        for image in sorted(searching):
            one = _first_object(scene, cuts, image, density[image], by_saliency=False, corners=True)
            repeats = any(mask_iou(one.masks[0], f.masks[0]) > 0.5 for f in found[image] if f.found)
            if not one.found or repeats:
                searching.discard(image)
                found[image] = found[image] or [one]
                continue
            found[image].append(one)
            taken = np.flatnonzero(one.masks[0]).tolist()
            graph[image, taken, :] = eps
            graph[image, :, taken] = eps
    return [_joined(items) for items in found]


def partition(vector: np.ndarray, shape: tuple[int, int]) -> Cut:
    """Split an eigenvector (N,) at its mean; the side with argmax |y| is the foreground."""
    seed = int(np.abs(vector).argmax())
    if not vector[seed] > vector.mean():
        vector = -vector
    side = vector > vector.mean()
    return Cut(vector.reshape(shape), side.reshape(shape), seed)


def _graph(unit: Array, tau: float | None, eps: float) -> Array:
    return threshold_affinity(unit, mean_cosine(unit) if tau is None else tau, eps=eps)


def _density(graph: Array) -> list[float]:
    """Mean of each image's W, (B)."""
    return [float(array_namespace(one).mean(one)) for one in graph]


def _first_object(
    scene: Scene,
    cuts: CutVectors,
    image: int,
    density: float,
    by_saliency: bool,
    corners: bool = False,
) -> Discovery:
    if 1 - float(cuts.values[image, 0]) < _LONE:
        return nothing(scene.shape, "all patches are alike, there is nothing to cut: one colour?")
    reason = None
    if density > _CROWDED:
        reason = (
            f"{100 * density:.1f} % of all pairs of patches are joined: tau is too low for these "
            "descriptors (last-layer keys of DINOv2 need about 0.9); leave it out to have it chosen"
        )
    cut = partition(to_numpy(cuts.vectors[image, :, 0]), scene.shape)
    if corners and _corners(cut.side) >= 3:
        cut = _turned(cut)
    saliency = scene.saliency[image]
    if by_saliency:
        cut = _salient(cut, saliency)
    return one_object(component_at(cut.side, cut.seed), cut.seed, cut.soft, saliency, reason)


def _corners(side: np.ndarray) -> int:
    return int(side[[0, 0, -1, -1], [0, -1, 0, -1]].sum())


def _turned(cut: Cut) -> Cut:
    side = ~cut.side
    if not side.any():
        return cut
    seed = int(np.where(side, -cut.soft, -np.inf).argmax())
    return Cut(-cut.soft, side, seed)


def _salient(cut: Cut, saliency: np.ndarray) -> Cut:
    if separation(saliency, cut.side) < 0.5:
        cut = _turned(cut)
    mass, best = -1.0, cut.seed
    rest = cut.side.copy()
    while rest.any():
        seed = int(rest.argmax())
        member = component_at(rest, seed)
        if (total := float(saliency[member].sum())) > mass:
            mass, best = total, int(np.where(member, cut.soft, -np.inf).argmax())
        rest &= ~member
    return Cut(cut.soft, cut.side, best)


def _joined(items: list[Discovery]) -> Discovery:
    return Discovery(
        masks=np.concatenate([d.masks for d in items]),
        scores=np.concatenate([d.scores for d in items]),
        seeds=np.concatenate([d.seeds for d in items]),
        soft=items[0].soft,
        reason=items[0].reason,
    )


def _check_tau(tau: float | None) -> None:
    if tau is not None and not -1 <= tau <= 1:
        raise ValueError(f"tau is a cosine and must lie in [-1, 1]; got {tau}")
