"""A few good, well-spread correspondences between two images (Amir et al. 2021, section 4.3)."""

from typing import NamedTuple

import numpy as np

from tasks.ops.gram_kmeans import gram_kmeans
from tasks.ops.nearest import Nearest


class Buddies(NamedTuple):
    """P pairs of patches, each the other's nearest neighbour.

    source, target: (P,) int64, patches row by row. similarity: (P,) float32 cosines.
    saliency: (P,) float32, the mean of the two patches' saliency, 1 where none was given.
    """

    source: np.ndarray
    target: np.ndarray
    similarity: np.ndarray
    saliency: np.ndarray

    def take(self, index: np.ndarray) -> "Buddies":
        """The pairs at `index`, in its order."""
        return Buddies(*(values[index] for values in self))


def best_buddies(
    nearest: Nearest,
    source_saliency: np.ndarray | None = None,
    target_saliency: np.ndarray | None = None,
    *,
    threshold: float = 0.05,
) -> Buddies:
    """All mutual nearest neighbours whose patches are both salient.

    Args:
        nearest: of N source and M target patches.
        source_saliency: (N,) or (rows, cols) in [0, 1]; None keeps every patch.
        target_saliency: the same for the target, (M,) or (rows', cols').
        threshold: patches count as salient strictly above it.

    Raises:
        ValueError: saliency of another number of patches.
    """
    source = np.flatnonzero(nearest.mutual.cpu().numpy())
    target = nearest.target.cpu().numpy()[source]
    here = _at(source_saliency, source, len(nearest.target), "source")
    there = _at(target_saliency, target, len(nearest.source), "target")
    buddies = Buddies(source, target, nearest.similarity.cpu().numpy()[source], (here + there) / 2)
    return buddies.take(np.flatnonzero((here > threshold) & (there > threshold)))


def spread(buddies: Buddies, products: np.ndarray, count: int, *, seed: int = 0) -> Buddies:
    """The most salient pair of each of `count` groups of similar pairs.

    k-means over the two concatenated descriptors of a pair, L2-normalised; of each cluster the
    pair with the highest mean saliency (between equals, the most similar).

    Args:
        products: (P, P) inner products of the pairs' concatenated descriptors: the sum of those
            of their source patches and of their target patches (`similarity.inner_products`).
        count: pairs wanted; where there are no more, all are kept.

    Returns:
        At most `count` pairs, most salient first.

    Raises:
        ValueError: `count` below 1, or products of another number of pairs.
    """
    if count < 1:
        raise ValueError(f"the number of pairs must be at least 1; got {count}")
    pairs = len(buddies.source)
    if products.shape != (pairs, pairs):
        raise ValueError(
            f"expected inner products of {pairs} pairs, ({pairs}, {pairs}); got {products.shape}"
        )
    order = np.lexsort((-buddies.similarity, -buddies.saliency))
    if pairs <= count:
        return buddies.take(order)
    lengths = np.sqrt(np.diag(products)).clip(min=1e-12)
    labels = gram_kmeans(products / np.outer(lengths, lengths), count, seed=seed)
    _, first = np.unique(labels[order], return_index=True)
    return buddies.take(order[np.sort(first)])


def _at(saliency: np.ndarray | None, patches: np.ndarray, expected: int, side: str) -> np.ndarray:
    if saliency is None:
        return np.ones(len(patches), dtype=np.float32)
    if saliency.size != expected:
        raise ValueError(
            f"expected the saliency of {expected} {side} patches; got shape {saliency.shape}"
        )
    return np.asarray(saliency, dtype=np.float32).ravel()[patches]
