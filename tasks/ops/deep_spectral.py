"""Deep spectral segmentation (Melas-Kyriazi et al. 2022, arXiv 2205.07839)."""

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from tasks.ops.boxes import components
from tasks.ops.discovery import Discovery, nothing, one_object, read_scene
from tasks.ops.spectral import cut_vectors

_COLOR_NEIGHBOURS = 20
_POSITION_WEIGHT = 0.5  # of a full image side against the range of one colour channel


def deep_spectral(
    descriptors: np.ndarray | Tensor,
    saliency: np.ndarray,
    *,
    colors: np.ndarray | None = None,
    color_weight: float = 10.0,
    center: bool = False,
) -> list[Discovery]:
    """Find one object an image from the second eigenvector of the descriptors' Laplacian.

    W = max(cos, 0) / max, plus `color_weight` times an affinity of nearest colours; the
    foreground is where y of (D - W) y = lambda D y is positive, inverted where that covers more
    than half of the image; its largest component is the object.

    Args:
        descriptors: (B, rows, cols, D). saliency: (B, rows, cols), for the scores.
        colors: (B, rows, cols, 3) in [0, 1], the mean colour of each patch; None leaves the
            colour affinity out.
        center: subtract the image's mean descriptor first, see `lost.lost`.

    Raises:
        ValueError: see `discovery.read_scene`.
    """
    scene = read_scene(descriptors, saliency)
    unit = scene.unit
    if center:
        raw = scene.raw - scene.raw.mean(dim=1, keepdim=True)
        unit = torch.nn.functional.normalize(raw, dim=2)
    if unit.shape[1] < 3:
        return [nothing(scene.shape, "fewer than 3 patches: nothing to cut") for _ in unit]
    affinity = torch.bmm(unit, unit.mT).clamp_min_(0)
    affinity /= affinity.amax(dim=(1, 2), keepdim=True).clamp_min(1e-12)
    if colors is not None:
        for image, color in enumerate(np.asarray(colors, dtype=np.float64)):
            affinity[image] += color_weight * color_affinity(color).to(affinity)
    alike = affinity.flatten(1)
    flat = (alike.amax(dim=1) - alike.amin(dim=1) < 1e-5).tolist()
    vectors = cut_vectors(affinity + 1e-9).vectors[:, :, 0].cpu().numpy()
    found: list[Discovery] = []
    for image, vector in enumerate(vectors):
        if flat[image]:
            found.append(nothing(scene.shape, "all patches are alike: one colour"))
            continue
        soft = vector.reshape(scene.shape)
        soft = -soft if (soft > 0).mean() > 0.5 else soft
        if not (soft > 0).any():
            found.append(nothing(scene.shape, "the second eigenvector has one sign", soft))
            continue
        mask = components(soft > 0)[0]
        seed = int(np.where(mask, soft, -np.inf).argmax())
        found.append(one_object(mask, seed, soft, scene.saliency[image]))
    return found


def color_affinity(color: np.ndarray) -> Tensor:
    """Join every patch to the nearest ones in colour and position.

    Args:
        color: (rows, cols, 3) in [0, 1].

    Returns:
        (N, N) float32: 1 where either patch is among the other's 20 nearest, else 0.
    """
    rows, cols = color.shape[:2]
    place = np.moveaxis(np.mgrid[:rows, :cols], 0, -1) / max(rows, cols) * _POSITION_WEIGHT
    points = np.concatenate([color, place], axis=-1).reshape(rows * cols, -1)
    count = min(_COLOR_NEIGHBOURS + 1, len(points))
    _, nearest = cKDTree(points).query(points, k=count)
    joined = torch.zeros(len(points), len(points))
    joined.scatter_(1, torch.from_numpy(np.asarray(nearest).reshape(len(points), -1)), 1.0)
    return torch.maximum(joined, joined.T).fill_diagonal_(0)
