"""What sets objects apart from backgrounds, learned from the images themselves.

A linear discriminant (Fisher 1936) between the patches of objects and those of backgrounds,
trained on pseudo labels: at first the patches more salient than their image's mean, then
those that the discriminant itself calls objects, until they no longer change. The idea is that
of FOUND (Siméoni et al. 2023, arXiv 2212.07834), a linear head trained on pseudo masks, without
its gradient descent: with a fixed covariance every round is one product.

The whitening by the covariance is what makes it independent of the backbone: last-layer keys
of DINOv2, whose cosines all exceed 0.8, separate as well as tokens do. One image suffices;
the more images, the better the background is known.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tasks.ops.arrays import Array, to_numpy
from tasks.ops.boxes import components
from tasks.ops.discovery import Discovery, nothing, one_object, read_scene
from tasks.ops.patch_grid import unit

EXAMINED = 10  # largest components that can become an object
LEAST = 0.1  # of the best object's worth, for a further one: crumbs of the background stay out


@dataclass(frozen=True, slots=True)
class Objectness:
    """A learned discriminant: (x . direction - background) / (object - background).

    direction: (D,) float32. background, object: where the two classes' means fall on it.
    separation: distance of the means over the standard deviation within classes. share: of
    patches called object. rounds: until the labels rested. changed: share in the last round.
    """

    direction: np.ndarray
    background: float
    object: float
    separation: float
    share: float
    rounds: int
    changed: float

    def soft(self, descriptors: np.ndarray) -> np.ndarray:
        """(..., D) raw descriptors to (...) float32: 0 at the background's mean, 1 at objects'."""
        along = unit(descriptors) @ self.direction
        return (along - self.background) / (self.object - self.background)


def learn_objectness(
    images: Iterable[tuple[np.ndarray, np.ndarray]],
    *,
    ratio: float = 1.25,
    shrinkage: float = 1.0,
    rounds: int = 12,
    rest: float = 1e-3,
) -> Objectness | None:
    """Learn from the patches of one or many images, held once: 4 N D bytes an image.

    Args:
        images: raw descriptors (..., D) and saliency (...), >= 0, of each; read once, so that a
            generator may make them.
        ratio: first labels: saliency over the image's mean.
        shrinkage: of the covariance towards a multiple of the identity. CorLoc on PASCAL07-6x2
            learned from 1, 2, 4, 8 or all 160 images: 59, 64, 68, 72, 78 % with 0.1, and 64, 71,
            71, 75, 78 with 1, which also tells a background from few images.
        rounds: at most. rest: stop when a smaller share of the labels changes.

    Returns:
        None where there is nothing to learn from: no salient patch, or descriptors all alike.

    Raises:
        ValueError: no images, or saliency of another length than an image's descriptors.
    """
    patches, labels = [], []
    for descriptors, saliency in images:
        patches.append(unit(descriptors.reshape(-1, descriptors.shape[-1])))
        labels.append((saliency > ratio * saliency.mean()).ravel())
        if len(patches[-1]) != len(labels[-1]):
            raise ValueError(
                f"expected the saliency of {len(patches[-1])} patches; got {len(labels[-1])} values"
            )
    if not patches:
        raise ValueError("expected the descriptors of at least one image; got none")
    count = sum(map(len, patches))
    total = sum(p.sum(axis=0, dtype=np.float64) for p in patches) / count
    moment = sum((p.T @ p).astype(np.float64) for p in patches) / count
    covariance = moment - np.outer(total, total)
    scale = float(np.trace(covariance)) / len(covariance)
    if scale < 1e-9:
        return None
    covariance += shrinkage * scale * np.eye(len(covariance))
    return _iterate(patches, labels, covariance, rounds, rest)


def discover_objects(
    descriptors: Array,
    saliency: np.ndarray,
    *,
    objectness: Objectness | None = None,
    threshold: float = 0.5,
    objects: int = 1,
) -> list[Discovery]:
    """Find the objects of a batch by a learned discriminant.

    The largest connected components above `threshold` are ranked by the sum of what they
    exceed it by; those that have less than a tenth of the best one's are no objects.

    Args:
        descriptors: (B, rows, cols, D). saliency: (B, rows, cols).
        objectness: learned on these or on other images; None learns from this batch.
        threshold: between the means of background (0) and objects (1).
        objects: at most, an image.

    Raises:
        ValueError: see `discovery.read_scene`.
    """
    scene = read_scene(descriptors, saliency)
    raw = to_numpy(scene.raw)
    salient = scene.saliency.reshape(len(raw), -1)
    learned = objectness or learn_objectness(zip(raw, salient, strict=True))
    if learned is None:
        reason = "nothing is salient, or all patches are alike: nothing to learn objects from"
        return [nothing(scene.shape, reason) for _ in raw]
    return [
        objects_of(
            learned.soft(one).reshape(scene.shape), scene.saliency[image], threshold, objects
        )
        for image, one in enumerate(raw)
    ]


def objects_of(
    soft: np.ndarray, saliency: np.ndarray, threshold: float = 0.5, objects: int = 1
) -> Discovery:
    """The objects of one soft map (rows, cols): see `discover_objects`."""
    inside = soft > threshold
    if not inside.any():
        return nothing(soft.shape, "no patch looks like an object", soft)
    found = components(inside, EXAMINED)
    worth = [float((soft[one] - threshold).sum()) for one in found]
    ranked = np.argsort(worth)[::-1][:objects]
    order = [i for i in ranked if worth[i] >= LEAST * worth[ranked[0]]]
    seeds = [int(np.where(found[i], soft, -np.inf).argmax()) for i in order]
    each = [one_object(found[i], s, soft, saliency) for i, s in zip(order, seeds, strict=True)]
    return Discovery(
        masks=np.concatenate([d.masks for d in each]),
        scores=np.concatenate([d.scores for d in each]),
        seeds=np.array(seeds),
        soft=soft.astype(np.float32),
        reason=each[0].reason,
    )


def _iterate(
    patches: list[np.ndarray],
    first: list[np.ndarray],
    covariance: np.ndarray,
    rounds: int,
    rest: float,
) -> Objectness | None:
    labels = np.concatenate(first)
    ends = np.cumsum([len(p) for p in patches])[:-1]
    done, changed = 0, 1.0
    while done < rounds and changed >= rest:
        done += 1
        if not labels.any() or labels.all():
            return None
        mean_in = _mean(patches, np.split(labels, ends))
        mean_out = _mean(patches, np.split(~labels, ends))
        direction = np.linalg.solve(covariance, mean_in - mean_out)
        along = np.concatenate([p @ direction.astype(np.float32) for p in patches])
        low, high = float(mean_out @ direction), float(mean_in @ direction)
        before, labels = labels, along > (low + high) / 2
        changed = float((before != labels).mean())
    within = np.sqrt(np.mean(np.square(along - np.where(labels, high, low))))
    return Objectness(
        direction=direction.astype(np.float32),
        background=low,
        object=high,
        separation=(high - low) / max(float(within), 1e-12),
        share=float(labels.mean()),
        rounds=done,
        changed=changed,
    )


def _mean(patches: list[np.ndarray], inside: list[np.ndarray]) -> np.ndarray:
    """Mean of the labelled patches (N_i, D) of all images: (D,) float64."""
    sums = [
        (i.astype(np.float32) @ p).astype(np.float64) for p, i in zip(patches, inside, strict=True)
    ]
    return np.asarray(sum(sums) / sum(np.count_nonzero(i) for i in inside))
