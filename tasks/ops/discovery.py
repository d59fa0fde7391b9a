"""What every method of object discovery takes and returns.

All methods share one signature: descriptors and saliency of B images of one grid in, one
`Discovery` an image out. What is special to a method is a keyword argument of it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

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
    """Checked input. unit: (B, N, D) float32 Tensor, L2-normalised, artefacts repaired; raw:
    the same, not normalised. saliency: (B, rows, cols) float32. shape: (rows, cols).
    """

    unit: Tensor
    raw: Tensor
    saliency: np.ndarray
    shape: tuple[int, int]


def read_scene(descriptors: np.ndarray | Tensor, saliency: np.ndarray) -> Scene:
    """Check and normalise a batch.

    Args:
        descriptors: (B, rows, cols, D), any float dtype and device.
        saliency: (B, rows, cols) in [0, 1].

    Raises:
        ValueError: other shapes, or values that are not finite.
    """
    values = torch.as_tensor(descriptors).float()
    if values.ndim != 4 or 0 in values.shape:
        raise ValueError(f"descriptors must be (B, rows, cols, D); got {tuple(values.shape)}")
    if tuple(saliency.shape) != tuple(values.shape[:3]):
        raise ValueError(
            f"saliency must be {tuple(values.shape[:3])} like the descriptors' grids; "
            f"got {tuple(saliency.shape)}"
        )
    if not (bool(torch.isfinite(values).all()) and np.isfinite(saliency).all()):
        raise ValueError(
            "descriptors and saliency must be finite; extract with --precision float32"
        )
    bad = artefacts(values)
    salient = np.asarray(saliency, dtype=np.float32)
    if bad.any():
        values = repair(values, bad)
        salient = repair(torch.as_tensor(salient)[..., None], bad)[..., 0].numpy()
    raw = values.flatten(1, 2)
    return Scene(functional.normalize(raw, dim=2), raw, salient, (values.shape[1], values.shape[2]))


def artefacts(descriptors: Tensor) -> np.ndarray:
    """High-norm patches that hold global information instead of their own (Darcet et al. 2024).

    Returns:
        (B, rows, cols) bool: norms above three times the image's median.
    """
    norms = descriptors.norm(dim=3)
    median = norms.flatten(1).median(dim=1).values[:, None, None]
    return (norms > ARTEFACT_NORM * median).cpu().numpy() & (median > 0).cpu().numpy()


def repair(values: Tensor, bad: np.ndarray) -> Tensor:
    """Replace patches by the mean of their sound 3x3 neighbours, or of the nearest sound one.

    Args:
        values: (B, rows, cols, D). bad: (B, rows, cols) bool.
    """
    mended = values.clone()
    for image in np.flatnonzero(bad.any(axis=(1, 2)) & ~bad.all(axis=(1, 2))).tolist():
        sound = ~bad[image]
        nearest = ndimage.distance_transform_edt(
            ~sound, return_distances=False, return_indices=True
        )
        for row, col in np.argwhere(bad[image]).tolist():
            window = np.zeros_like(sound)
            window[max(row - 1, 0) : row + 2, max(col - 1, 0) : col + 2] = True
            around = torch.from_numpy(window & sound).to(values.device)
            if around.any():
                mended[image, row, col] = values[image][around].mean(dim=0)
            else:
                mended[image, row, col] = values[image][tuple(nearest[:, row, col].tolist())]
    return mended


def mean_cosine(unit: Tensor) -> Tensor:
    """Mean of all N^2 cosines of each image, (B,) float32: |mean unit vector|^2.

    The threshold `tau` of a graph that suits any layer of any model: where all descriptors
    look alike (last-layer keys of DINOv2: 0.9) a fixed 0.2 joins every patch to every other.
    """
    return unit.mean(dim=1).square().sum(dim=1)


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
