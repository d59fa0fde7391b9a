"""Which clusters are the object that a set of images shares.

Amir et al. 2021, section 4.1: clusters of descriptors are common or not by how many images
vote for them, and an image votes for the clusters that are salient in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from tasks.ops.kmeans import squared_distances
from tasks.ops.patch_grid import unit

Rule = Literal["votes", "relative"]
RULES: tuple[Rule, ...] = get_args(Rule)


@dataclass(frozen=True, slots=True)
class ClusterVotes:
    """What each of K clusters is in a set of B images, and why it was kept or dropped.

    sizes: (K,) int, patches. saliency: (K,) mean saliency over its patches in the set.
    image_saliency: (B, K) the same in every image, NaN where the image lacks the cluster.
    votes: (K,) int, images that vote for it. images: (K,) int, images that contain it.
    kept: (K,) bool, foreground. reasons: a sentence for each cluster.
    warnings: what a user should know about the set as a whole.
    """

    sizes: np.ndarray
    saliency: np.ndarray
    image_saliency: np.ndarray
    votes: np.ndarray
    images: np.ndarray
    kept: np.ndarray
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]


def vote_salient(
    labels: Sequence[np.ndarray],
    saliency: Sequence[np.ndarray],
    *,
    clusters: int,
    rule: Rule = "relative",
    threshold: float = 0.065,
    share: float = 0.75,
    ratio: float = 1.5,
) -> ClusterVotes:
    """Choose the salient clusters of a set.

    Args:
        labels: for each image the cluster of its patches, int in 0..`clusters` - 1, any shape.
        saliency: for each image the patches' saliency, of the same shape, in [0, 1].
        rule: ``votes``, the paper's: an image votes for a cluster whose mean saliency in it
            exceeds `threshold`; kept with the votes of at least `share` of all images.
            ``relative``: kept when its mean saliency exceeds `ratio` times the set's mean;
            votes are counted with that same limit, and only shown.

    Raises:
        ValueError: no images, or labels and saliency that do not match.
    """
    _check(labels, saliency, rule)
    sizes, sums = _sums(labels, saliency, clusters)
    with np.errstate(invalid="ignore", divide="ignore"):
        image_saliency = sums / sizes
        mean = np.nan_to_num(sums.sum(axis=0) / sizes.sum(axis=0))
    set_mean = float(sums.sum() / max(sizes.sum(), 1))
    limit = threshold if rule == "votes" else ratio * set_mean
    votes = (np.nan_to_num(image_saliency) > limit).sum(axis=0)
    needed = int(np.ceil(share * len(labels) - 1e-9))  # 0.56 x 25 is a bit more than 14 in floats
    kept = votes >= needed if rule == "votes" else mean > limit
    shown = _vote_reason if rule == "votes" else _mean_reason
    return ClusterVotes(
        sizes=sizes.sum(axis=0),
        saliency=mean,
        image_saliency=image_saliency,
        votes=votes,
        images=(sizes > 0).sum(axis=0),
        kept=kept,
        reasons=tuple(
            shown(bool(kept[k]), float(mean[k]), int(votes[k]), len(labels), limit, needed)
            for k in range(clusters)
        ),
        warnings=_warnings(
            len(labels),
            any_kept=bool(kept.any()),
            all_kept=bool(kept.all()),
            set_mean=set_mean,
        ),
    )


def soft_foreground(descriptors: np.ndarray, centers: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """How far patches lie on the foreground's side, for a smooth outline between patches.

    0.5 + (squared distance to the nearest background centre - the same to the nearest kept
    one) / 4, clipped: above 0.5 exactly where the nearest centre is a kept one. Unit
    descriptors differ by at most 4.

    Args:
        descriptors: (..., D), any length. centers: (K, D). kept: (K,) bool.

    Returns:
        (...) float32 in [0, 1]; zeros when no cluster is kept, ones when all are.
    """
    if not kept.any() or kept.all():
        return np.full(descriptors.shape[:-1], float(kept.any()), dtype=np.float32)
    distances = squared_distances(unit(descriptors), centers)
    margin = distances[..., ~kept].min(axis=-1) - distances[..., kept].min(axis=-1)
    return np.asarray(np.clip(0.5 + margin / 4, 0, 1), dtype=np.float32)


def judge_by_foreground(
    votes: ClusterVotes, labels: Sequence[np.ndarray], foreground: Sequence[np.ndarray]
) -> ClusterVotes:
    """The clusters explained by a foreground that was decided patch by patch.

    A cluster counts as kept when most of its patches are foreground, as an image's vote when
    most of its patches in that image are.

    Args:
        labels, foreground: for each image, of one shape; foreground above 0.5.
    """
    clusters = len(votes.sizes)
    hard = [np.ravel(one) > 0.5 for one in foreground]
    sizes, inside = _sums(labels, hard, clusters)
    total = np.maximum(sizes.sum(axis=0), 1)
    share = inside.sum(axis=0) / total
    kept = share > 0.5
    return replace(
        votes,
        votes=((2 * inside > sizes) & (sizes > 0)).sum(axis=0),
        kept=kept,
        reasons=tuple(
            f"{'kept' if kept[k] else 'dropped'}: {share[k]:.0%} of its patches are salient and "
            f"common to the set (mean saliency {votes.saliency[k]:.3f})"
            for k in range(clusters)
        ),
        warnings=_warnings(
            len(labels),
            any_kept=any(one.any() for one in hard),
            all_kept=all(one.all() for one in hard),
            set_mean=float(votes.saliency @ votes.sizes),
        ),
    )


def cls_center(cls: np.ndarray, threshold: float = 0.7) -> np.ndarray | None:
    """The direction of a set's CLS descriptors (B, D); None for a set without a centre, which
    no image resembles.
    """
    center = unit(unit(cls).mean(axis=0))
    return center if resembles(cls, center, threshold).any() else None


def resembles(cls: np.ndarray, center: np.ndarray, threshold: float = 0.7) -> np.ndarray:
    """Whether images are like their set (Amir et al. 2021): cosine of their CLS descriptor to the
    centre of at least `threshold`.

    Args:
        cls: (..., D). center: (D,), unit length.

    Returns:
        (...) bool; False for outliers.
    """
    return np.asarray(unit(cls) @ center >= threshold)


def _sums(
    labels: Sequence[np.ndarray], saliency: Sequence[np.ndarray], clusters: int
) -> tuple[np.ndarray, np.ndarray]:
    """Patches and summed saliency, (B, K) each."""
    sizes = [np.bincount(np.ravel(one), minlength=clusters) for one in labels]
    sums = [
        np.bincount(np.ravel(one), weights=np.ravel(weight), minlength=clusters)
        for one, weight in zip(labels, saliency, strict=True)
    ]
    return np.stack(sizes), np.stack(sums)


def _vote_reason(kept: bool, mean: float, votes: int, images: int, limit: float, need: int) -> str:
    return (
        f"{'kept' if kept else 'dropped'}: {votes} of {images} images give it a mean saliency "
        f"above {limit:.3f}, {need} are needed (mean {mean:.3f})"
    )


def _mean_reason(kept: bool, mean: float, votes: int, images: int, limit: float, _: int) -> str:
    return (
        f"{'kept' if kept else 'dropped'}: mean saliency {mean:.3f} is "
        f"{'above' if kept else 'not above'} the set's limit {limit:.3f} "
        f"({votes} of {images} images agree)"
    )


def _warnings(images: int, *, any_kept: bool, all_kept: bool, set_mean: float) -> tuple[str, ...]:
    found = []
    if images == 1:
        found.append("one image only: what is common cannot be told from what is salient")
    if set_mean <= 0:
        found.append("no patch is salient: the images are blank or all alike; masks are empty")
    elif not any_kept:
        found.append("nothing is salient and common enough in this set: masks are empty")
    elif all_kept:
        found.append("everything is salient: masks cover the images whole")
    return tuple(found)


def _check(labels: Sequence[np.ndarray], saliency: Sequence[np.ndarray], rule: str) -> None:
    if not labels:
        raise ValueError("voting expects at least one image; got none")
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}; got {rule!r}")
    shapes = [np.shape(one) for one in labels], [np.shape(one) for one in saliency]
    if shapes[0] != shapes[1]:
        wrong = next((i for i, (a, b) in enumerate(zip(*shapes, strict=False)) if a != b), None)
        raise ValueError(
            "labels and saliency must have the same shape in every image; "
            f"got {len(labels)} and {len(saliency)} images, first difference at image {wrong}"
        )
