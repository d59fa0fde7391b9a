"""The iterative cut agrees with a dense eigen-decomposition."""

import numpy as np
import pytest
import torch
from scipy.linalg import eigh
from torch import Tensor
from torch.nn import functional

from tasks.ops.spectral import TILE, cut_vectors, threshold_affinity


def dense(affinity: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(D - W) y = lambda D y by LAPACK: values and vectors 1..count, in float64."""
    degree = np.diag(affinity.sum(axis=1))
    return eigh(degree - affinity, degree, subset_by_index=[1, count])  # type: ignore[no-any-return]


def blobs(nodes: int, seed: int, groups: int = 3, noise: float = 0.7) -> Tensor:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(groups, 16))
    points = centres[rng.integers(groups, size=nodes)] + noise * rng.normal(size=(nodes, 16))
    return functional.normalize(torch.tensor(points, dtype=torch.float32), dim=1)[None]


def same_up_to_sign(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a * np.sign(a @ b) - b).max() / np.abs(b).max())


@pytest.mark.parametrize(("nodes", "seed"), [(9, 0), (60, 1), (200, 2), (400, 3)])
def test_vectors_and_values_are_the_dense_ones(nodes: int, seed: int) -> None:
    affinity = threshold_affinity(blobs(nodes, seed), 0.3)
    found = cut_vectors(affinity, 2, tolerance=1e-6)
    values, vectors = dense(affinity[0].double().numpy(), 2)
    np.testing.assert_allclose(found.values[0].numpy(), values, atol=2e-5)
    assert same_up_to_sign(found.vectors[0, :, 0].numpy(), vectors[:, 0]) < 1e-3
    degree = affinity[0].double().sum(dim=1)
    norms = (found.vectors[0].square() * degree[:, None]).sum(dim=0)
    np.testing.assert_allclose(norms.numpy(), 1, atol=1e-6)


def test_the_graph_is_made_in_tiles_as_it_would_be_whole() -> None:
    unit = blobs(TILE + 90, 4)
    graph = threshold_affinity(unit, torch.tensor([0.31]))
    torch.testing.assert_close(graph, graph.mT, rtol=0, atol=0)
    whole = torch.where(unit.double() @ unit.double().mT > 0.31, 1.0, 1e-5)
    assert int((whole - graph).abs().gt(1e-6).sum()) <= 4  # cosines within rounding of tau
    arrays = threshold_affinity(unit.numpy(), 0.31)
    assert isinstance(arrays, np.ndarray)
    assert int((np.abs(arrays - graph.numpy()) > 1e-6).sum()) <= 4


def test_arrays_give_what_tensors_give() -> None:
    graph = threshold_affinity(blobs(150, 6), 0.3)
    one, other = (
        cut_vectors(graph, 2, tolerance=1e-7),
        cut_vectors(graph.numpy(), 2, tolerance=1e-7),
    )
    np.testing.assert_allclose(other.values, one.values.numpy(), atol=1e-7)
    for k in range(2):
        assert same_up_to_sign(other.vectors[0, :, k], one.vectors[0, :, k].numpy()) < 1e-4


def test_a_batch_gives_what_its_images_give() -> None:
    graphs = torch.cat([threshold_affinity(blobs(80, seed), 0.3) for seed in range(4)])
    together = cut_vectors(graphs, tolerance=1e-8).vectors
    for image, graph in enumerate(graphs):
        alone = cut_vectors(graph[None], tolerance=1e-8).vectors[0, :, 0].numpy()
        assert same_up_to_sign(together[image, :, 0].numpy(), alone) < 1e-4


def test_restarts_reach_the_answer_where_eigenvalues_crowd() -> None:
    # A chain of 300 nodes: lambda_k = 1 - cos-like values k^2 / N^2 apart, hundreds of steps.
    path = torch.diag(torch.ones(299), 1)
    affinity = (path + path.T + torch.eye(300))[None].double()
    found = cut_vectors(affinity, max_steps=3000)
    _, vectors = dense(affinity[0].numpy(), 1)
    assert found.steps > 64
    assert same_up_to_sign(found.vectors[0, :, 0].numpy(), vectors[:, 0]) < 1e-3


def test_two_loosely_joined_cliques_are_told_apart() -> None:
    # By hand: y is constant on each clique, and lambda = cut (1 / volume + 1 / other volume).
    eps, m, n = 1e-3, 3, 5
    affinity = torch.full((1, 8, 8), eps, dtype=torch.float64)
    affinity[0, :m, :m] = affinity[0, m:, m:] = 1
    found = cut_vectors(affinity)
    volumes = m * (m + n * eps), n * (n + m * eps)
    assert float(found.values[0, 0]) == pytest.approx(eps * m * n * sum(1 / v for v in volumes))
    y = found.vectors[0, :, 0]
    assert torch.allclose(y[:m], y[0].expand(m))
    assert y[0] * y[m] < 0


def test_errors_name_what_came() -> None:
    with pytest.raises(ValueError, match=r"must be \(B, N, N\).*\(4, 4\)"):
        cut_vectors(torch.ones(4, 4))
    with pytest.raises(ValueError, match=r"a graph of 4 nodes has 1\.\.3 cuts; got count=4"):
        cut_vectors(torch.ones(1, 4, 4), 4)
