"""The affine map that most matches between two images agree on.

Views of one kind of object differ, to first order, by an affine map. Fitted robustly to the
mutual nearest neighbours it tells the left wheel from the right one, which descriptors
alone cannot; bent to the matches around a place it follows parts that deviate. It enters the
matching as a soft prior (`transfer`).
"""

from typing import NamedTuple

import numpy as np

_STEPS = 5  # of reweighted least squares after the best hypothesis
_RIDGE = 1e-3
_BENDS = 2  # steps of reweighted least squares around a place
_FIRM = 1.0  # weight of the whole map there, in matches
_ROWS = 256  # places at a time
_MIN_AREA = 4.0  # of a sampled triangle, square patches: smaller ones amplify rounding


class Alignment(NamedTuple):
    """target (row, col) = matrix.T @ (row, col, 1).

    matrix: (3, 2) float64 on the patch grids. support: share in [0, 1] of the matches' weight
    that lies near it.
    """

    matrix: np.ndarray
    support: float

    def apply(self, row_col: np.ndarray) -> np.ndarray:
        """Source grid positions (..., 2) to target grid positions (..., 2)."""
        return np.asarray(row_col @ self.matrix[:2] + self.matrix[2])


class LocalAlignment(NamedTuple):
    """An alignment that bends: at every place an affine map of its own, fitted to the matches
    around it and held by the whole alignment where there are few.

    source, target: (P, 2) grid positions of the matches. weights: (P,). tolerance: see
    `fit_alignment`. width: of the Gaussian neighbourhood in the source, patches.
    """

    whole: Alignment
    source: np.ndarray
    target: np.ndarray
    weights: np.ndarray
    tolerance: float
    width: float

    def apply(self, row_col: np.ndarray) -> np.ndarray:
        """Source grid positions (N, 2) to target grid positions (N, 2)."""
        blocks = [row_col[i : i + _ROWS] for i in range(0, len(row_col), _ROWS)]
        return np.concatenate([self._bent(block) for block in blocks] or [np.zeros((0, 2))])

    def _bent(self, places: np.ndarray) -> np.ndarray:
        # Around a place the map is q = a + (p - place) B; its a is what the place maps to.
        steps = self.source[None] - places[:, None]
        points = np.concatenate([np.ones_like(steps[..., :1]), steps], axis=-1)
        near = self.weights * np.exp(-(steps**2).sum(axis=-1) / (2 * self.width**2))
        whole = np.empty((len(places), 3, 2))
        whole[:, 0], whole[:, 1:] = self.whole.apply(places), self.whole.matrix[:2]
        firm = _FIRM * np.diag([1, self.width**2, self.width**2])
        maps = whole
        for _ in range(_BENDS):
            weights = near * _kernel(points @ maps, self.target, self.tolerance)
            weighted = (points * weights[..., None]).swapaxes(1, 2)
            maps = np.linalg.solve(weighted @ points + firm, weighted @ self.target + firm @ whole)
        return np.asarray(maps[:, 0])


def fit_alignment(
    source: np.ndarray,
    target: np.ndarray,
    weights: np.ndarray,
    *,
    tolerance: float = 3.0,
    hypotheses: int = 500,
    max_stretch: float = 3.0,
    seed: int = 0,
) -> Alignment | None:
    """RANSAC over triples of matches with a Gaussian kernel, then reweighted least squares.

    The score of an affine map A is sum of w exp(-|A p - q|^2 / (2 tolerance^2)): every match
    (p, q) counts by its weight and by how near it lies.

    Args:
        source: (P, 2) grid positions (row, col). target: (P, 2), of the other grid.
        weights: (P,) non-negative.
        tolerance: in patches.
        max_stretch: hypotheses that lengthen or shorten any direction by more are dropped.

    Returns:
        The alignment, or None where fewer than 4 matches, or none but degenerate triples, exist.
    """
    positive = np.flatnonzero(weights > 0)
    if len(positive) < 4:
        return None
    source, target, weights = (
        np.asarray(values, dtype=np.float64)[positive] for values in (source, target, weights)
    )
    points = np.concatenate([source, np.ones((len(source), 1))], axis=1)
    drawn = _draw_triples(weights, hypotheses, seed)
    matrices = _solve_triples(points[drawn], target[drawn], max_stretch)
    if not len(matrices):
        return None
    kernels = _kernel(points @ matrices, target, tolerance) @ weights
    matrix = matrices[kernels.argmax()]
    for _ in range(_STEPS):
        near = weights * _kernel(points @ matrix, target, tolerance)
        normal = points.T @ (points * near[:, None]) + _RIDGE * np.eye(3)
        matrix = np.linalg.solve(normal, points.T @ (target * near[:, None]) + _RIDGE * matrix)
    support = _kernel(points @ matrix, target, tolerance) @ weights / weights.sum()
    return Alignment(matrix, float(support))


def _draw_triples(weights: np.ndarray, hypotheses: int, seed: int) -> np.ndarray:
    """(hypotheses, 3) indices, drawn with probability proportional to weight."""
    cumulative = np.cumsum(weights) / weights.sum()
    uniform = np.random.default_rng(seed).random((hypotheses, 3))
    return np.searchsorted(cumulative, uniform).clip(max=len(weights) - 1)


def _solve_triples(points: np.ndarray, target: np.ndarray, max_stretch: float) -> np.ndarray:
    """Affine maps (n, 3, 2) through triples (hypotheses, 3, .), degenerate ones dropped."""
    sound = np.abs(np.linalg.det(points)) > 2 * _MIN_AREA
    matrices = np.linalg.solve(points[sound], target[sound])
    if not len(matrices):
        return matrices
    stretches = np.linalg.svd(matrices[:, :2], compute_uv=False)
    return matrices[(stretches[:, 0] < max_stretch) & (stretches[:, 1] > 1 / max_stretch)]


def _kernel(mapped: np.ndarray, target: np.ndarray, tolerance: float) -> np.ndarray:
    squares = ((mapped - target) ** 2).sum(axis=-1)
    return np.asarray(np.exp(-squares / (2 * tolerance**2)))
