"""Ten Lloyd steps from the same centres: dataset clustering's own, scikit-learn, faiss.

    pip install --no-deps --target SITE faiss-cpu
    python tests/benchmarks/kmeans_speed.py [--site SITE]

100,000 descriptors of 384 channels around 40 centres, 10 clusters, in memory. Seconds of
processor time with one thread, so that what else the machine does counts little. Only ours gives
the same bits for any split of the descriptors, and needs none of them in memory.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from machine import machine, own_peak
from sklearn.cluster import KMeans, kmeans_plusplus
from threadpoolctl import threadpool_limits

from tasks.ops.lloyd import partial_sums, update_centers

STEPS, ROUNDS = 10, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--site")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    middles = rng.normal(0, 0.2, (40, 384))  # overlapping: nobody is done before ten steps
    points = middles[rng.integers(40, size=args.count)] + rng.normal(0, 1, (args.count, 384))
    points = points.astype(np.float32)
    first, _ = kmeans_plusplus(points[:2000], 10, random_state=0)
    print(json.dumps(machine("none")))
    runs: dict[str, Callable[[], np.ndarray]] = {
        "patchflow": lambda: ours(points, first),
        "scikit-learn, Lloyd": lambda: sklearn(points, first),
    }
    if args.site:
        sys.path.append(args.site)
        runs["faiss, all points"] = lambda: faiss(points, first, len(points))
        runs["faiss, its default sample"] = lambda: faiss(points, first, 256)
    with threadpool_limits(1):
        for name, run in runs.items():
            taken = []
            for _ in range(ROUNDS):
                started = time.process_time()
                centers = run()
                taken.append(time.process_time() - started)
            low, middle, high = np.percentile(taken, [25, 50, 75])
            error = partial_sums(points, centers).inertia / len(points)
            print(f"{name:26s} {middle:5.2f} s [{low:.2f}, {high:.2f}]  mean error {error:.3f}")
    print(f"peak host {own_peak() / 1e9:.2f} GB")


def ours(points: np.ndarray, first: np.ndarray) -> np.ndarray:
    centers = first
    for _ in range(STEPS):
        centers = update_centers(partial_sums(points, centers), centers, spherical=False)
    return centers


def sklearn(points: np.ndarray, first: np.ndarray) -> np.ndarray:
    model = KMeans(10, init=first, n_init=1, max_iter=STEPS, tol=0, algorithm="lloyd")
    return model.fit(points).cluster_centers_.astype(np.float32)


def faiss(points: np.ndarray, first: np.ndarray, most: int) -> np.ndarray:
    import faiss as library

    library.omp_set_num_threads(1)
    model = library.Kmeans(384, 10, niter=STEPS, max_points_per_centroid=most, seed=1)
    model.train(points, init_centroids=first)
    return model.centroids


if __name__ == "__main__":
    main()
