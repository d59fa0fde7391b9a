"""The common object's parts: the same label for the same part in every image.

Amir et al. 2021, section 4.2: the foreground's descriptors are clustered once more; every pixel
of it takes the label of the nearest centre, smoothed by a dense CRF. Clustered are log-binned
descriptors: what surrounds a patch tells a wheel in front from one behind.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from tasks.ops.crf import dense_crf
from tasks.ops.kmeans import assign, elbow_kmeans, kmeans, squared_distances
from tasks.ops.leading_axes import axes_of_maps
from tasks.ops.log_bin import log_bin
from tasks.ops.patch_grid import unit

_SAMPLE = 20_000  # descriptors that a clustering is trained on
_RESTARTS = 10
_CHANNELS = 64  # of a descriptor that its bins keep: the first axes of `tasks.joined`
_BIN_AXES = 128
_CRF_SIDE = 256
_CRF_SCALE = 20.0  # nats for a unit of squared distance


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Log-binned descriptors of the common kind: levels of bins, and axes (B, C) that keep most of
    their inner products; B = (1 + 8 `hierarchy`) channels of what `see` is given.
    """

    hierarchy: int
    axes: np.ndarray

    def see(self, units: np.ndarray) -> np.ndarray:
        """Each patch of a map (rows, cols, D) with what surrounds it: (rows, cols, C), unit."""
        return unit(binned(units, self.hierarchy) @ self.axes)


@dataclass(frozen=True, slots=True)
class PartCodebook:
    """What tells parts apart. centers: (K, C) float32. warnings: what a user should know."""

    centers: np.ndarray
    warnings: tuple[str, ...] = ()


def find_parts(
    descriptors: np.ndarray,
    foreground: np.ndarray,
    image: np.ndarray,
    *,
    parts: int | None = 4,
    elbow: float = 0.94,
    max_parts: int = 10,
    stages: int = 2,
    share: float = 0.75,
    smallest: float = 0.05,
    seed: int = 0,
) -> PartCodebook:
    """Cluster a set's foreground into parts.

    Args:
        descriptors: (P, C), unit length, of all images. foreground: (P,) bool. image: (P,) int.
        parts: how many; None leaves it to the elbow, at most `max_parts`.
        stages: 2, or 3 where the set also shares other things: clusters that fewer than `share`
            of the images have are dropped, and the rest is clustered once more.
        smallest: parts below this share of the foreground are dissolved into the others.

    Returns:
        Parts in the order of their size, so that equal sets give equal numbers; no parts where
        there is no foreground.

    Raises:
        ValueError: stages other than 2 and 3.
    """
    if stages not in (2, 3):
        raise ValueError(f"parts are found in 2 or 3 stages; got {stages}")
    if not foreground.any():
        none = np.zeros((0, descriptors.shape[1]), dtype=np.float32)
        return PartCodebook(none, ("no foreground: there are no parts",))
    points, owner = descriptors[foreground], image[foreground]
    if stages == 3:
        points = _shared(points, owner, elbow, max_parts, share, seed)
    centers = _cluster(points, parts, elbow, max_parts, seed)
    centers = _without_small(points, centers, smallest)
    found = (
        ()
        if parts is None or len(centers) == parts
        else (f"{len(centers)} parts instead of {parts}: the others were too small",)
    )
    return PartCodebook(_by_size(points, centers), found)


def binned(units: np.ndarray, hierarchy: int) -> np.ndarray:
    """Log-bins of a map's leading channels, unit length; the channels alone for hierarchy 0.

    Args:
        units: (rows, cols, D), along axes of falling weight.
    """
    leading = unit(units[..., :_CHANNELS])
    return unit(log_bin(leading, hierarchy)) if hierarchy else leading


def fit_surroundings(maps: Sequence[np.ndarray], hierarchy: int) -> Surroundings:
    """Axes of the bins, from evenly spaced patches of a sample of maps (rows, cols, D)."""
    bins = (binned(units, hierarchy) for units in maps)
    return Surroundings(hierarchy, axes_of_maps(bins, len(maps), _BIN_AXES))


def part_region(mask: np.ndarray, coarse: np.ndarray, margin: float) -> np.ndarray:
    """Where parts are labelled: the refined mask and the coarse one, `margin` pixels wider.

    Landmarks lie on outlines; a part that ended exactly there would miss half of them.

    Args:
        mask, coarse: (H, W) bool.
    """
    region = mask | coarse
    radius = round(margin)
    if radius < 1 or not region.any():
        return region
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate(region.astype(np.uint8), disc).astype(bool)


def part_energies(descriptors: np.ndarray, book: PartCodebook) -> np.ndarray:
    """Cost of every part at every patch: the squared distance to its centre.

    What is background has been decided by the co-segmentation and its refinement, which see
    more than the nearest background centre that the paper competes with here.

    Args:
        descriptors: (rows, cols, C), unit length.

    Returns:
        (rows, cols, K) float32.
    """
    return squared_distances(descriptors, book.centers)


def label_parts(image: np.ndarray, energies: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Part labels of pixels: dense CRF over the energies, inside `mask`.

    Args:
        image: (H, W, 3) uint8. energies: (H, W, K) float32, `part_energies` spread to the
            image's pixels. mask: (H, W) bool, the refined foreground: outside is background,
            inside always a part.

    Returns:
        (H, W) uint8: 0 background, 1..K parts.
    """
    if energies.shape[2] == 0 or not mask.any():
        return np.zeros(mask.shape, dtype=np.uint8)
    factor = min(1.0, _CRF_SIDE / max(mask.shape))
    size = max(1, round(mask.shape[1] * factor)), max(1, round(mask.shape[0] * factor))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    costs = [cv2.resize(e, size, interpolation=cv2.INTER_AREA) for e in np.moveaxis(energies, 2, 0)]
    probability = dense_crf(
        small,
        _CRF_SCALE * np.stack(costs),
        smooth_sigma=1.5,
        smooth_weight=2.0,
        bilateral_sigma=2.5,
        bilateral_weight=3.0,
    )
    spread = [cv2.resize(p, mask.shape[::-1], interpolation=cv2.INTER_LINEAR) for p in probability]
    return np.where(mask, 1 + np.argmax(spread, axis=0), 0).astype(np.uint8)


def crop_boxes(
    width: int, height: int, count: int, *, share: float = 0.95, seed: int = 0
) -> list[tuple[int, int, int, int]]:
    """Random crops (left, top, right, bottom) of `share` of each side: variety for small sets."""
    rng = np.random.default_rng(seed)
    wide, high = max(1, round(width * share)), max(1, round(height * share))
    lefts = rng.integers(0, width - wide + 1, count)
    tops = rng.integers(0, height - high + 1, count)
    return [
        (int(x), int(y), int(x) + wide, int(y) + high) for x, y in zip(lefts, tops, strict=True)
    ]


def _cluster(
    points: np.ndarray, parts: int | None, elbow: float, max_parts: int, seed: int
) -> np.ndarray:
    sample = _sampled(points)
    if parts is not None:
        return kmeans(sample, parts, seed=seed, restarts=_RESTARTS)
    return elbow_kmeans(
        sample, max_clusters=max_parts, elbow=elbow, sample_step=1, seed=seed
    ).centers


def _shared(
    points: np.ndarray, owner: np.ndarray, elbow: float, max_parts: int, share: float, seed: int
) -> np.ndarray:
    """The points of clusters that at least `share` of the images have; all if there are none."""
    labels = assign(points, _cluster(points, None, elbow, max_parts, seed))
    needed = share * len(np.unique(owner)) - 1e-9  # 0.56 x 25 is a bit more than 14 in floats
    common = [k for k in range(labels.max() + 1) if len(np.unique(owner[labels == k])) >= needed]
    kept = np.isin(labels, common)
    return points[kept] if kept.any() else points


def _without_small(points: np.ndarray, centers: np.ndarray, smallest: float) -> np.ndarray:
    while len(centers) > 1:
        sizes = np.bincount(assign(points, centers), minlength=len(centers))
        if sizes.min() >= smallest * len(points):
            break
        centers = np.delete(centers, sizes.argmin(), axis=0)
    return centers


def _by_size(points: np.ndarray, centers: np.ndarray) -> np.ndarray:
    sizes = np.bincount(assign(points, centers), minlength=len(centers))
    return centers[np.argsort(-sizes, kind="stable")]


def _sampled(points: np.ndarray) -> np.ndarray:
    return points[:: -(-len(points) // _SAMPLE)]
