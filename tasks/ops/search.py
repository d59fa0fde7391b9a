"""The nearest of many patches to one, image by image: exact, in bounded memory.

A pass in float32, on a GPU if wanted, finds what may belong to the nearest, within the error
that such sums can have; only those are compared in float64. Integers with a scale a channel are
never scaled: with descriptor x = v * s, the product <q, x> is <q * s, v>, and |x|^2 is
<s * s, v * v>.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

_ROUNDING = 2.0**-24
_ROWS = 256
_GPU_ROWS = 2**17


class Hits(NamedTuple):
    """At most k rows, most similar first, equals in order of row.

    row: (k,) int64. similarity: (k,) float64 cosines.
    """

    row: np.ndarray
    similarity: np.ndarray


NO_HITS = Hits(np.zeros(0, dtype=np.int64), np.zeros(0))


def nearest_rows(
    query: np.ndarray,
    values: np.ndarray,
    k: int,
    *,
    scale: np.ndarray | None = None,
    first: int = 0,
    floor: float = -2.0,
    device: str = "cpu",
) -> Hits:
    """The k rows with the highest cosine to `query`, the same on every device.

    Args:
        query: (D,) descriptor of any length. values: (n, D) floats, or integers with a scale.
        scale: (D,) what the integers of each channel are multiplied with.
        first: the number of row 0.
        floor: rows below this cosine are of no interest and may be left out.
        device: of the first pass.

    Raises:
        ValueError: another number of channels, or k below 1.
    """
    if query.shape != values.shape[1:] or k < 1:
        raise ValueError(
            f"expected descriptors of {query.shape[0]} channels, as the query's, and k >= 1; got "
            f"{values.shape[-1]} and {k}: the store holds another facet or model"
        )
    unit = query.astype(np.float64) / max(float(np.linalg.norm(query.astype(np.float64))), 1e-12)
    weights = (unit if scale is None else unit * scale).astype(np.float32)
    squares = np.ones_like(weights) if scale is None else np.square(scale, dtype=np.float32)
    if device == "cpu":
        rough = _rough_cosines(weights, squares, values)
    else:
        rough = rough_cosines_on(device, weights, squares, values)
    k = min(k, len(values))
    cut = max(floor, float(np.partition(rough, len(rough) - k)[len(rough) - k])) if k else floor
    # Both the row and the one that it is compared with may be off by the rounding of D terms.
    candidates = np.flatnonzero(rough >= cut - 4 * _ROUNDING * values.shape[1])
    rows = values[candidates].astype(np.float64)
    if scale is not None:
        rows *= scale
    exact = rows @ unit / np.maximum(np.linalg.norm(rows, axis=1), 1e-12)
    return _best(candidates.astype(np.int64) + first, exact, k)


def merge_hits(parts: Iterable[Hits], k: int) -> Hits:
    """The k best of several parts, whose rows are numbered throughout."""
    found = [NO_HITS, *parts]
    rows, similarities = (np.concatenate(column) for column in zip(*found, strict=True))
    return _best(rows, similarities, k)


def _rough_cosines(weights: np.ndarray, squares: np.ndarray, values: np.ndarray) -> np.ndarray:
    """In float32, a few rows at a time in one buffer that stays in the processor's cache."""
    buffer = np.empty((_ROWS, values.shape[1]), dtype=np.float32)
    products, lengths = np.empty((2, len(values)), dtype=np.float32)
    for start in range(0, len(values), _ROWS):
        part = slice(start, min(start + _ROWS, len(values)))
        rows = buffer[: part.stop - start]
        np.copyto(rows, values[part])
        np.dot(rows, weights, out=products[part])
        np.square(rows, out=rows)
        np.dot(rows, squares, out=lengths[part])
    return np.asarray(products / np.maximum(np.sqrt(lengths), 1e-12))


def rough_cosines_on(
    device: str, weights: np.ndarray, squares: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Values (n, D), sent as they are: v * weights over the root of v^2 * squares, in float32.

    Args:
        device: of torch. weights, squares: (D,) float32.
    """
    import torch  # a scan on the processor does without

    with torch.no_grad():
        columns = [torch.from_numpy(c).to(device) for c in (weights, squares)]
        found = []
        for start in range(0, len(values), _GPU_ROWS):
            part = np.ascontiguousarray(values[start : start + _GPU_ROWS])
            rows = torch.from_numpy(part).to(device).float()
            products, lengths = rows @ columns[0], rows.square_() @ columns[1]
            found.append(products / lengths.sqrt_().clamp_min_(1e-12))
        return np.asarray(torch.cat(found).cpu().numpy()) if found else np.zeros(0, np.float32)


def _best(rows: np.ndarray, similarity: np.ndarray, k: int) -> Hits:
    order = np.lexsort((rows, -similarity))[:k]
    return Hits(rows[order], similarity[order])
