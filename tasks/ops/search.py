"""The nearest of many patches to a few, block by block: exact, in bounded memory."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

_ROWS = 32768  # of one float32 working block


class Hits(NamedTuple):
    """At most k rows, most similar first. row: (k,) int64. similarity: (k,) float32 cosines."""

    row: np.ndarray
    similarity: np.ndarray


def cosines(query: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Cosines (n,) float32 of `query` (D,) with the rows of `block` (n, D), any float dtype.

    Raises:
        ValueError: another number of channels.
    """
    if query.shape != block.shape[1:]:
        raise ValueError(
            f"expected descriptors of {query.shape[0]} channels, as the query's; got "
            f"{block.shape[-1]}: the store holds another facet or model"
        )
    unit_query = query.astype(np.float32) / max(float(np.linalg.norm(query)), 1e-12)
    found = np.empty(len(block), dtype=np.float32)
    for start in range(0, len(block), _ROWS):
        rows = block[start : start + _ROWS].astype(np.float32)
        norms = np.sqrt(np.einsum("nd,nd->n", rows, rows))
        found[start : start + _ROWS] = rows @ unit_query / np.maximum(norms, 1e-12)
    return found


def top_k(similarity: np.ndarray, k: int, first: int = 0) -> Hits:
    """The k largest of `similarity` (n,); rows count from `first`; equals in order of row."""
    k = min(k, len(similarity))
    if k < len(similarity):
        # Everything that ties with the k-th stays in, so that equals are cut by row.
        least = np.partition(similarity, len(similarity) - k)[len(similarity) - k]
        candidates = np.flatnonzero(similarity >= least)
    else:
        candidates = np.arange(len(similarity))
    order = candidates[np.argsort(-similarity[candidates], kind="stable")][:k]
    return Hits(order.astype(np.int64) + first, similarity[order])


def best_of_groups(similarity: np.ndarray, starts: np.ndarray, k: int, first: int = 0) -> Hits:
    """The best row of each group, of these the k best.

    Args:
        similarity: (n,). starts: (g,) increasing, the first row of every group, from 0.
        first: the number of row 0.
    """
    ends = np.append(starts[1:], len(similarity))
    best = np.array(
        [s + int(similarity[s:e].argmax()) for s, e in zip(starts, ends, strict=True) if e > s],
        dtype=np.int64,
    )
    chosen = top_k(similarity[best], k)
    return Hits(best[chosen.row] + first, chosen.similarity)


def merge_hits(parts: Iterable[Hits], k: int) -> Hits:
    """The k best of several parts, whose rows are numbered throughout."""
    found = list(parts)
    rows = np.concatenate([p.row for p in found])
    similarity = np.concatenate([p.similarity for p in found])
    order = np.lexsort((rows, -similarity))[:k]
    return Hits(rows[order], similarity[order])
