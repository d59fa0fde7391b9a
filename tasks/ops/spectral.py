"""The eigen-problem of normalised cuts, for thousands of patches, without a dense solver.

Shi and Malik 2000: the partition of a graph with affinity W (N, N) and degrees D = diag(W 1)
is read from the second smallest solution of (D - W) y = lambda D y. With z = D^1/2 y this is
S z = (1 - lambda) z for S = D^-1/2 W D^-1/2, whose largest eigenvector D^1/2 1 is known: it is
projected out, and Krylov steps (one product with W each) find the next ones.
"""

from typing import NamedTuple

import torch
from torch import Tensor

BASIS = 64  # Krylov vectors held before a restart
KEPT = 16  # best Ritz vectors that survive it
CHECK_EVERY = 6  # steps between two looks at the Ritz pairs


class CutVectors(NamedTuple):
    """The smallest non-trivial solutions of (D - W) y = lambda D y.

    values: (B, count) float64, ascending, in [0, 2]. vectors: (B, N, count) float64, scaled to
    y^T D y = 1, sign arbitrary. steps: products with W that were needed. error: (B,) bound on
    the sine between the first vector and the true one (residual over gap).
    """

    values: Tensor
    vectors: Tensor
    steps: int
    error: Tensor


def threshold_affinity(unit: Tensor, tau: float | Tensor, *, eps: float = 1e-5) -> Tensor:
    """TokenCut's graph: 1 where the cosine exceeds `tau`, else `eps`.

    Args:
        unit: (B, N, D) float32, L2-normalised. tau: in [-1, 1], one for all or (B,).

    Returns:
        (B, N, N) float32. The only large array of a cut: 4 N^2 bytes an image.
    """
    affinity = torch.bmm(unit, unit.transpose(1, 2))
    limit = tau[:, None, None] if isinstance(tau, Tensor) else tau
    # In place: two copies at N = 4,800 are 92 MB each.
    return affinity.gt_(limit).mul_(1 - eps).add_(eps)


def cut_vectors(
    affinity: Tensor,
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
    values: Tensor
    vectors: Tensor
    error: Tensor


class _Krylov:
    """An orthonormal basis V of each image's Krylov space, and S V beside it.

    Steps are float64; only the product with W runs in W's own precision.
    """

    def __init__(self, affinity: Tensor, capacity: int) -> None:
        batch, nodes, _ = affinity.shape
        self.affinity = affinity
        self.capacity = capacity
        degree = affinity.sum(dim=2, dtype=torch.float64).clamp_min(1e-300)
        self.scale = degree.rsqrt()
        self.known = torch.nn.functional.normalize(degree.sqrt(), dim=1).unsqueeze(2)
        self.basis = degree.new_zeros(batch, nodes, capacity)
        self.image = torch.zeros_like(self.basis)
        self.size = 0
        self.steps = 0
        random = torch.Generator().manual_seed(0)
        start = torch.randn(nodes, generator=random, dtype=torch.float64).to(degree.device)
        self.next = self._orthonormal(start.expand(batch, nodes))

    def step(self) -> None:
        vector = self.next
        moved = (self.scale * vector).to(self.affinity.dtype).unsqueeze(2)
        product = self.scale * torch.bmm(self.affinity, moved).squeeze(2).double()
        # Without the known part, S V stays inside the space that is searched.
        product = product - (self.known @ (self.known.mT @ product.unsqueeze(2))).squeeze(2)
        self.basis[:, :, self.size] = vector
        self.image[:, :, self.size] = product
        self.size += 1
        self.steps += 1
        self.next = self._orthonormal(product)

    def ritz(self, count: int) -> _Ritz:
        values, mix = self._rayleigh()
        values, mix = values[:, : count + 1], mix[:, :, :count]
        basis, image = self.basis[:, :, : self.size], self.image[:, :, : self.size]
        vectors = basis @ mix
        residual = (image @ mix - vectors * values[:, None, :count]).norm(dim=1)
        # Ritz values past the last are only estimates: no gap is trusted below 1e-6.
        gap = (values[:, :-1] - values[:, 1:]).clamp_min(1e-6) if values.shape[1] > count else 1.0
        return _Ritz(values[:, :count], vectors, (residual / gap).amax(dim=1))

    def restart(self, kept: int) -> None:
        _, mix = self._rayleigh()
        self.basis[:, :, :kept] = self.basis @ mix[:, :, :kept]
        self.image[:, :, :kept] = self.image @ mix[:, :, :kept]
        self.size = kept
        self.next = self._orthonormal(self.next)

    def to_nodes(self, vectors: Tensor) -> Tensor:
        return vectors * self.scale.unsqueeze(2)

    def _rayleigh(self) -> tuple[Tensor, Tensor]:
        basis, image = self.basis[:, :, : self.size], self.image[:, :, : self.size]
        small = basis.mT @ image
        small = (small + small.mT) / 2
        # A zero column stands for "nothing more to find": its Ritz value must come last.
        empty = (basis.square().sum(dim=1) < 0.5).double()
        small = small - 3 * torch.diag_embed(empty)
        values, mix = torch.linalg.eigh(small)
        return values.flip(1), mix.flip(2)

    def _orthonormal(self, vector: Tensor) -> Tensor:
        rest = vector.unsqueeze(2)
        before = rest.norm(dim=1, keepdim=True)
        used = self.basis[:, :, : self.size]
        for _ in range(2):  # twice is enough (Kahan and Parlett)
            rest = rest - self.known @ (self.known.mT @ rest)
            rest = rest - used @ (used.mT @ rest)
        after = rest.norm(dim=1, keepdim=True)
        # What remains of float32 products is noise; an exhausted image rests with zeros.
        alive = after > 1e-7 * before.clamp_min(1e-7)
        return torch.where(alive, rest / after.clamp_min(1e-300), torch.zeros_like(rest)).squeeze(2)
