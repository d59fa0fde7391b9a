"""What every method of object discovery takes and returns.

All methods share one signature: descriptors and saliency of B images of one grid in, one
`Discovery` an image out. What is special to a method is a keyword argument of it.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from tasks.ops.arrays import Array, array_namespace, to_numpy

ARTEFACT_NORM = 3.0  # times the image's median; normal patches stay below 2 in every ViT tried


@dataclass(frozen=True, slots=True)
class Discovery:
    """The objects of one image, best first; possibly none.

    masks: (objects, rows, cols) bool. scores: (objects,) float32 in [0, 1], the chance that a
    patch inside is more salient than one outside. seeds: (objects,) flat index of the patch
    that the object grew from. soft: (rows, cols) float32, the map that was cut, higher inside.
    reason: why there is no object, or what makes the answer doubtful; None if nothing does.
    """

    masks: np.ndarray
    scores: np.ndarray
    seeds: np.ndarray
    soft: np.ndarray
    reason: str | None = None

    @property
    def found(self) -> bool:
        """Whether there is an object."""
        return len(self.masks) > 0


@dataclass(frozen=True, slots=True)
class Scene:
    """Checked input. raw: (B, N, D) float32 of the input's kind and device, artefacts repaired.
    saliency: (B, rows, cols) float32. shape: (rows, cols).
    """

    raw: Array
    saliency: np.ndarray
    shape: tuple[int, int]

    @property
    def unit(self) -> Array:
        """(B, N, D) float32, L2-normalised."""
        return normalised(self.raw)

    @property
    def centred(self) -> Array:
        """(B, N, D) float32, each image's mean descriptor subtracted."""
        return self.raw - array_namespace(self.raw).mean(self.raw, axis=1, keepdims=True)


def read_scene(descriptors: Array, saliency: np.ndarray) -> Scene:
    """Check a batch and mend its artefacts.

    Args:
        descriptors: (B, rows, cols, D), any float dtype: a NumPy array, or a Tensor on any
            device.
        saliency: (B, rows, cols) in [0, 1].

    Raises:
        ValueError: other shapes, or values that are not finite.
    """
    xp = array_namespace(descriptors)
    values = xp.astype(descriptors, xp.float32)
    if values.ndim != 4 or 0 in values.shape:
        raise ValueError(f"descriptors must be (B, rows, cols, D); got {tuple(values.shape)}")
    if tuple(saliency.shape) != tuple(values.shape[:3]):
        raise ValueError(
            f"saliency must be {tuple(values.shape[:3])} like the descriptors' grids; "
            f"got {tuple(saliency.shape)}"
        )
    if not (bool(xp.all(xp.isfinite(values))) and np.isfinite(saliency).all()):
        raise ValueError(
            "descriptors and saliency must be finite; extract with --precision float32"
        )
    bad = artefacts(values)
    salient = np.asarray(saliency, dtype=np.float32)
    if bad.any():
        values = repair(values, bad)
        salient = repair(salient[..., None], bad)[..., 0]
    batch, rows, cols, channels = values.shape
    raw = xp.reshape(values, (batch, rows * cols, channels))
    return Scene(raw, salient, (rows, cols))


def artefacts(descriptors: Array) -> np.ndarray:
    """High-norm patches that hold global information instead of their own (Darcet et al. 2024).

    Returns:
        (B, rows, cols) bool: norms above three times the image's median.
    """
    xp = array_namespace(descriptors)
    norms = to_numpy(xp.linalg.vector_norm(descriptors, axis=3))
    median = np.median(norms, axis=(1, 2), keepdims=True)
    return (norms > ARTEFACT_NORM * median) & (median > 0)


def repair(values: Array, bad: np.ndarray) -> Array:
    """Replace patches by the mean of their sound 3x3 neighbours, or of the nearest sound one.

    Args:
        values: (B, rows, cols, D). bad: (B, rows, cols) bool.
    """
    xp = array_namespace(values)
    mended = xp.asarray(values, copy=True)
    for image in np.flatnonzero(bad.any(axis=(1, 2)) & ~bad.all(axis=(1, 2))).tolist():
        sound = ~bad[image]
        nearest = ndimage.distance_transform_edt(
            ~sound, return_distances=False, return_indices=True
        )
        for row, col in np.argwhere(bad[image]).tolist():
            top, left = max(row - 1, 0), max(col - 1, 0)
            around = np.argwhere(sound[top : row + 2, left : col + 2]) + np.array([top, left])
            if not len(around):
                around = nearest[:, row, col][None]
            near = xp.stack([values[image, r, c] for r, c in around.tolist()])
            mended[image, row, col] = xp.mean(near, axis=0)
    return mended


def normalised(vectors: Array) -> Array:
    """L2-normalise (..., D); zero vectors stay zero."""
    xp = array_namespace(vectors)
    norms = xp.linalg.vector_norm(vectors, axis=-1, keepdims=True)
    return vectors / xp.clip(norms, 1e-12, None)


def mean_cosine(unit: Array) -> Array:
    """Mean of all N^2 cosines of each image, (B,) float32: |mean unit vector|^2.

    The threshold `tau` of a graph that suits any layer of any model: where all descriptors
    look alike (last-layer keys of DINOv2: 0.9) a fixed 0.2 joins every patch to every other.
    """
    xp = array_namespace(unit)
    return xp.sum(xp.square(xp.mean(unit, axis=1)), axis=1)


def separation(saliency: np.ndarray, mask: np.ndarray) -> float:
    """The chance that a patch inside `mask` is more salient than one outside; ties count half.

    Mann and Whitney's U over the number of pairs. saliency, mask: (rows, cols).

    Returns:
        in [0, 1]; 0.5 where one side is empty.
    """
    inside, outside = saliency[mask], np.sort(saliency[~mask])
    if not len(inside) or not len(outside):
        return 0.5
    below = np.searchsorted(outside, inside, side="left")
    up_to = np.searchsorted(outside, inside, side="right")
    return float((below + up_to).mean() / (2 * len(outside)))


def nothing(shape: tuple[int, int], reason: str, soft: np.ndarray | None = None) -> Discovery:
    """An image without an object, and why."""
    return Discovery(
        masks=np.zeros((0, *shape), dtype=bool),
        scores=np.zeros(0, dtype=np.float32),
        seeds=np.zeros(0, dtype=np.int64),
        soft=np.zeros(shape, dtype=np.float32) if soft is None else soft,
        reason=reason,
    )


def one_object(
    mask: np.ndarray, seed: int, soft: np.ndarray, saliency: np.ndarray, reason: str | None = None
) -> Discovery:
    """An image with one object."""
    if mask.all() and reason is None:
        reason = "the object fills the whole image"
    return Discovery(
        masks=mask[None],
        scores=np.array([separation(saliency, mask)], dtype=np.float32),
        seeds=np.array([seed]),
        soft=soft.astype(np.float32),
        reason=reason,
    )
