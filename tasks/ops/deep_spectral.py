"""Deep spectral segmentation (Melas-Kyriazi et al. 2022, arXiv 2205.07839)."""

import numpy as np
from scipy.spatial import cKDTree

from tasks.ops.arrays import Array, array_namespace, empty, like, to_numpy
from tasks.ops.boxes import components
from tasks.ops.discovery import Discovery, normalised, nothing, one_object, read_scene
from tasks.ops.spectral import cut_vectors, tiles

_COLOR_NEIGHBOURS = 20
_POSITION_WEIGHT = 0.5  # of a full image side against the range of one colour channel


def deep_spectral(
    descriptors: Array,
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
    unit = normalised(scene.centred) if center else scene.unit
    if unit.shape[1] < 3:
        return [nothing(scene.shape, "fewer than 3 patches: nothing to cut") for _ in unit]
    affinity = positive_cosines(unit)
    if colors is not None and color_weight:
        for image, color in enumerate(np.asarray(colors, dtype=np.float64)):
            affinity[image] += color_weight * like(color_affinity(color), affinity)
    xp = array_namespace(affinity)
    flat = xp.max(affinity, axis=(1, 2)) - xp.min(affinity, axis=(1, 2)) < 1e-5
    affinity += 1e-9
    vectors = to_numpy(cut_vectors(affinity).vectors)[:, :, 0]
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
        mask = components(soft > 0, 1)[0]
        seed = int(np.where(mask, soft, -np.inf).argmax())
        found.append(one_object(mask, seed, soft, scene.saliency[image]))
    return found


def positive_cosines(unit: Array) -> Array:
    """W = max(cos, 0) / max of unit vectors (B, N, D): (B, N, N) float32, made in tiles."""
    xp = array_namespace(unit)
    batch, nodes, _ = unit.shape
    affinity = empty((batch, nodes, nodes), unit)
    for rows, cols in tiles(nodes):
        tile = xp.clip(unit[:, rows] @ unit[:, cols].mT, 0, None)
        affinity[:, rows, cols] = tile
        affinity[:, cols, rows] = tile.mT
    affinity /= xp.clip(xp.max(affinity, axis=(1, 2), keepdims=True), 1e-12, None)
    return affinity


def color_affinity(color: np.ndarray) -> np.ndarray:
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
    joined = np.zeros((len(points), len(points)), dtype=np.float32)
    np.put_along_axis(joined, np.asarray(nearest).reshape(len(points), -1), 1, axis=1)
    joined = np.maximum(joined, joined.T)
    np.fill_diagonal(joined, 0)
    return joined
