"""The eigen-problem of normalised cuts, for thousands of patches, without a dense solver.

Shi and Malik 2000: the partition of a graph with affinity W (N, N) and degrees D = diag(W 1)
is read from the second smallest solution of (D - W) y = lambda D y. With z = D^1/2 y this is
S z = (1 - lambda) z for S = D^-1/2 W D^-1/2, whose largest eigenvector D^1/2 1 is known: it is
projected out, and Krylov steps (one product with W each) find the next ones.

Everything takes NumPy arrays or torch Tensors and returns the same kind. NumPy is the better
choice on a processor: as fast, and without the memory that torch itself needs.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tasks.ops.arrays import Array, array_namespace, empty, like, to_numpy

BASIS = 64  # Krylov vectors held before a restart
KEPT = 16  # best Ritz vectors that survive it
CHECK_EVERY = 6  # steps between two looks at the Ritz pairs
TILE = 512  # rows and columns of W that are made at a time: a tile of float32 fits the cache


class CutVectors(NamedTuple):
    """The smallest non-trivial solutions of (D - W) y = lambda D y.

    values: (B, count) float64, ascending, in [0, 2]. vectors: (B, N, count) float64, scaled to
    y^T D y = 1, sign arbitrary. steps: products with W that were needed. error: (B,) bound on
    the sine between the first vector and the true one (residual over gap).
    """

    values: Array
    vectors: Array
    steps: int
    error: Array


def tiles(nodes: int) -> Iterator[tuple[slice, slice]]:
    """Row and column ranges that cover the upper triangle of (nodes, nodes), diagonal included."""
    cuts = [slice(start, min(start + TILE, nodes)) for start in range(0, nodes, TILE)]
    return ((rows, cols) for i, rows in enumerate(cuts) for cols in cuts[i:])


def threshold_affinity(unit: Array, tau: float | Array, *, eps: float = 1e-5) -> Array:
    """TokenCut's graph: 1 where the cosine exceeds `tau`, else `eps`.

    Made in tiles of one triangle and mirrored: half of the products, exactly symmetric, and no
    second array of N^2.

    Args:
        unit: (B, N, D) float32, L2-normalised. tau: in [-1, 1], one for all or (B,).

    Returns:
        (B, N, N) float32. The only large array of a cut: 4 N^2 bytes an image.
    """
    xp = array_namespace(unit)
    batch, nodes, _ = unit.shape
    limit = tau if isinstance(tau, float | int) else tau[:, None, None]
    affinity = empty((batch, nodes, nodes), unit)
    for rows, cols in tiles(nodes):
        joined = unit[:, rows] @ unit[:, cols].mT > limit
        if rows == cols:  # the last bits of a product may depend on the order of its factors
            joined = joined & joined.mT
        tile = xp.astype(joined, xp.float32)
        tile *= 1 - eps
        tile += eps
        affinity[:, rows, cols] = tile
        affinity[:, cols, rows] = tile.mT
    return affinity


def cut_vectors(
    affinity: Array,
    count: int = 1,
    *,
    tolerance: float = 1e-4,
    max_steps: int = 400,
) -> CutVectors:
    """Solve a batch of normalised cuts by Lanczos steps with thick restarts.

    A batch gives what its images give one by one: the start vector depends on N alone.

    Args:
        affinity: (B, N, N) float32 or float64, symmetric, positive row sums, any device.
        count: how many solutions, smallest eigenvalue first; at most N - 1.
        tolerance: stop when residual / (gap to the next eigenvalue) falls below this: by Davis
            and Kahan that bounds the sine of the angle to the true vector.
        max_steps: end here all the same, with what has been reached (`CutVectors.error`).

    Raises:
        ValueError: not a batch of square matrices, or too many solutions.
    """
    if affinity.ndim != 3 or affinity.shape[1] != affinity.shape[2]:
        raise ValueError(
            f"affinity must be (B, N, N), square matrices; got {tuple(affinity.shape)}"
        )
    nodes = affinity.shape[1]
    if not 1 <= count < nodes:
        raise ValueError(f"a graph of {nodes} nodes has 1..{nodes - 1} cuts; got count={count}")
    krylov = _Krylov(affinity, capacity=min(BASIS, nodes - 1))
    target = min(count, krylov.capacity)
    while True:
        krylov.step()
        full = krylov.size == krylov.capacity
        due = krylov.steps % CHECK_EVERY == 0 and krylov.size > count
        if not (full or due or krylov.steps >= max_steps):
            continue
        ritz = krylov.ritz(target)
        whole = krylov.capacity == nodes - 1 and full  # the basis spans everything there is
        if whole or krylov.steps >= max_steps or bool((ritz.error <= tolerance).all()):
            return CutVectors(
                1 - ritz.values, krylov.to_nodes(ritz.vectors), krylov.steps, ritz.error
            )
        if full:
            krylov.restart(min(KEPT + count, krylov.capacity - 1))


class _Ritz(NamedTuple):
    values: Array
    vectors: Array
    error: Array


class _Krylov:
    """An orthonormal basis V (B, capacity, N) of each image's Krylov space, and S V beside it.

    Steps are float64; only the product with W runs in W's own precision. The small problems
    (capacity, capacity) are solved on the host: launching them on a GPU takes longer.
    """

    def __init__(self, affinity: Array, capacity: int) -> None:
        self.xp = xp = array_namespace(affinity)
        batch, nodes, _ = affinity.shape
        self.affinity = affinity
        self.capacity = capacity
        degree = xp.clip(_row_sums(affinity), 1e-300, None)
        self.scale = 1 / xp.sqrt(degree)
        self.known = xp.sqrt(degree) / self._norm(xp.sqrt(degree))
        self.basis = like(np.zeros((batch, capacity, nodes)), affinity)
        self.image = xp.zeros_like(self.basis)
        self.size = 0
        self.steps = 0
        start = np.random.default_rng(0).standard_normal(nodes)
        self.next = self._orthonormal(like(np.broadcast_to(start, (batch, nodes)).copy(), affinity))

    def step(self) -> None:
        vector = self.next
        moved = self.xp.astype(self.scale * vector, self.affinity.dtype)
        product = (self.affinity @ moved[:, :, None])[:, :, 0]
        product = self.scale * self.xp.astype(product, self.xp.float64)
        # Without the known part, S V stays inside the space that is searched.
        product = self._without_known(product)
        self.basis[:, self.size] = vector
        self.image[:, self.size] = product
        self.size += 1
        self.steps += 1
        self.next = self._orthonormal(product)

    def ritz(self, count: int) -> _Ritz:
        values, mix = self._rayleigh()
        values, mix = values[:, : count + 1], mix[:, :count]
        vectors = mix @ self.basis[:, : self.size]
        residual = mix @ self.image[:, : self.size] - vectors * values[:, :count, None]
        # Ritz values past the last are only estimates: no gap is trusted below 1e-6.
        gap = 1.0
        if values.shape[1] > count:
            gap = self.xp.clip(values[:, :-1] - values[:, 1:], 1e-6, None)
        error = self.xp.max(self._norm(residual)[:, :, 0] / gap, axis=1)
        return _Ritz(values[:, :count], vectors, error)

    def restart(self, kept: int) -> None:
        _, mix = self._rayleigh()
        self.basis[:, :kept] = mix[:, :kept] @ self.basis
        self.image[:, :kept] = mix[:, :kept] @ self.image
        self.size = kept
        self.next = self._orthonormal(self.next)

    def to_nodes(self, vectors: Array) -> Array:
        return (vectors * self.scale[:, None]).mT

    def _rayleigh(self) -> tuple[Array, Array]:
        """Ritz values (B, size), largest first, and the basis' shares (B, size, size) in each."""
        basis, image = self.basis[:, : self.size], self.image[:, : self.size]
        small = to_numpy(basis @ image.mT)
        small = (small + small.mT) / 2
        # A zero row stands for "nothing more to find": its Ritz value must come last.
        empty = to_numpy(self._norm(basis)[:, :, 0]) < 0.5
        small[:, range(self.size), range(self.size)] -= 3.0 * empty
        values, mix = np.linalg.eigh(small)
        ordered = np.ascontiguousarray(values[:, ::-1]), np.ascontiguousarray(mix.mT[:, ::-1])
        return like(ordered[0], self.basis), like(ordered[1], self.basis)

    def _orthonormal(self, vector: Array) -> Array:
        before = self._norm(vector)
        used = self.basis[:, : self.size]
        rest = vector
        for _ in range(2):  # twice is enough (Kahan and Parlett)
            rest = self._without_known(rest)
            rest = rest - (used.mT @ (used @ rest[:, :, None]))[:, :, 0]
        after = self._norm(rest)
        # What remains of float32 products is noise; an exhausted image rests with zeros.
        alive = after > 1e-7 * self.xp.clip(before, 1e-7, None)
        return self.xp.where(alive, rest / self.xp.clip(after, 1e-300, None), 0.0)

    def _without_known(self, vector: Array) -> Array:
        return vector - self.xp.sum(self.known * vector, axis=-1, keepdims=True) * self.known

    def _norm(self, vectors: Array) -> Array:
        return self.xp.linalg.vector_norm(vectors, axis=-1, keepdims=True)


def _row_sums(affinity: Array) -> Array:
    """(B, N) float64, in pieces: no float64 copy of all of W."""
    xp = array_namespace(affinity)
    nodes = affinity.shape[1]
    pieces = [affinity[:, i : i + TILE] for i in range(0, nodes, TILE)]
    return xp.concat([xp.sum(p, axis=2, dtype=xp.float64) for p in pieces], axis=1)
