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

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.ops.arrays import Array, to_numpy
from tasks.ops.boxes import component_at, components
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
    descriptors: Sequence[np.ndarray],
    saliency: Sequence[np.ndarray],
    *,
    ratio: float = 1.25,
    shrinkage: float = 1.0,
    rounds: int = 12,
    rest: float = 1e-3,
) -> Objectness | None:
    """Learn from the patches of one or many images.

    Args:
        descriptors: (N_i, D) an image, raw. saliency: (N_i,) an image, >= 0.
        ratio: first labels: saliency over the image's mean.
        shrinkage: of the covariance towards a multiple of the identity. CorLoc on PASCAL07-6x2
            learned from 1, 2, 4, 8 or all 160 images: 59, 64, 68, 72, 78 % with 0.1, and 64, 71,
            71, 75, 78 with 1, which also tells a background from few images.
        rounds: at most. rest: stop when a smaller share of the labels changes.

    Returns:
        None where there is nothing to learn from: no salient patch, or descriptors all alike.

    Raises:
        ValueError: no images, or lists that do not match.
    """
    if not descriptors or len(descriptors) != len(saliency):
        raise ValueError(
            f"expected as many saliency maps as images, at least one; got {len(descriptors)} "
            f"images and {len(saliency)} maps"
        )
    patches = unit(np.concatenate([d.reshape(-1, d.shape[-1]) for d in descriptors]))
    labels = np.concatenate([(s > ratio * s.mean()).ravel() for s in saliency])
    total = patches.mean(axis=0, dtype=np.float64)
    covariance = (patches.T @ patches).astype(np.float64) / len(patches) - np.outer(total, total)
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
    learned = objectness or learn_objectness(list(raw), list(salient))
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
    found = components(inside)[:EXAMINED]
    worth = [float((soft[one] - threshold).sum()) for one in found]
    ranked = np.argsort(worth)[::-1][:objects]
    order = [i for i in ranked if worth[i] >= LEAST * worth[ranked[0]]]
    seeds = [int(np.where(found[i], soft, -np.inf).argmax()) for i in order]
    each = [one_object(component_at(inside, seed), seed, soft, saliency) for seed in seeds]
    return Discovery(
        masks=np.concatenate([d.masks for d in each]),
        scores=np.concatenate([d.scores for d in each]),
        seeds=np.array(seeds),
        soft=soft.astype(np.float32),
        reason=each[0].reason,
    )


def _iterate(
    patches: np.ndarray, labels: np.ndarray, covariance: np.ndarray, rounds: int, rest: float
) -> Objectness | None:
    done, changed = 0, 1.0
    while done < rounds and changed >= rest:
        done += 1
        if not labels.any() or labels.all():
            return None
        inside = labels.astype(np.float32)
        mean_in = (inside @ patches).astype(np.float64) / inside.sum()
        mean_out = ((1 - inside) @ patches).astype(np.float64) / (1 - inside).sum()
        direction = np.linalg.solve(covariance, mean_in - mean_out)
        along = patches @ direction.astype(np.float32)
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
