"""k-means over a store: as good as scikit-learn's, the same on any workers, larger than memory.

    python tests/benchmarks/kmeans.py objective [STORE]   200,000 descriptors: error against
        scikit-learn's KMeans(n_init=10), bits on 1, 2 and 4 workers. Descriptors of STORE (of
        `patchflow extract`), or generated ones
    python tests/benchmarks/kmeans.py memory [GB]         one Lloyd step over a generated store ten
        times as large as the memory limit of its one worker; by default 5,
        as a worker takes 330 MB before it begins
    python tests/benchmarks/kmeans.py killed              a worker is killed in the middle of a step

Every figure is printed; the exit status is 1 where a promise is broken.
"""

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from distributed import Client, LocalCluster
from machine import machine
from sklearn.cluster import KMeans

from storage.descriptors import ArraySpec, DescriptorStore
from storage.files import join
from storage.planning import plan_partitions
from storage.sources import ImageRef
from tasks.cluster import Block, first_centers, lloyd, plan_blocks
from tasks.parts_config import ClusterConfig

GRID, CHANNELS, PARTITION = (31, 31), 384, 64
WANTED, CLUSTERS, GROUPS = 200_000, 10, 40


def generated_store(url: str, images: int, grid: tuple[int, int] = GRID) -> str:
    """A store of noisy groups of descriptors, float16."""
    shape = (*grid, CHANNELS)
    specs = (
        ArraySpec("descriptors", ("row", "col", "channel"), shape, "float16"),
        ArraySpec("saliency", ("row", "col"), grid, "float32"),
    )
    store = DescriptorStore.create_or_open(url, {"model": "generated"}, {"sha256": "0"}, {})
    rng = np.random.default_rng(0)
    groups = rng.normal(size=(GROUPS, CHANNELS)).astype(np.float32)
    noise = rng.normal(size=(4, *shape)).astype(np.float32)
    refs = (
        (ImageRef(f"{i:05d}.jpg", f"/{i:05d}.jpg", 1, "v1"), 224, 224, grid) for i in range(images)
    )
    for partition in plan_partitions(refs, store.index(), store.config_digest, PARTITION):
        writer = store.begin(partition, specs)
        for image in partition.images:
            members = groups[rng.integers(0, GROUPS, grid)]
            values = np.roll(noise[rng.integers(4)], int(rng.integers(grid[0])), axis=0) + members
            arrays = {"descriptors": values.astype(np.float16), "saliency": np.zeros(grid, "f4")}
            writer.append(image.ref, 224, 224, arrays)
        writer.commit()
    return url


@contextmanager
def workers(count: int, memory: float | str = "auto") -> Iterator[Client]:
    with (
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            memory_limit=memory,
            host="127.0.0.1",
            dashboard_address=None,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def some_blocks(store: DescriptorStore, wanted: int) -> tuple[list[Block], int]:
    """Blocks of images that hold at least `wanted` patches, or all; and how many they hold."""
    blocks, held = [], 0
    for block in plan_blocks(store):
        if held >= wanted:
            break
        blocks.append(block)
        grids = [store.index().partitions[store.find(name).partition].grid for name in block]
        held += sum(rows * cols for rows, cols in grids)
    return blocks, held


def objective(url: str | None) -> bool:
    with tempfile.TemporaryDirectory(prefix="patchflow-kmeans-") as folder:
        url = url or generated_store(join(folder, "store"), -(-WANTED // (GRID[0] * GRID[1])))
        store = DescriptorStore.open(url)
        blocks, held = some_blocks(store, WANTED)
        config = ClusterConfig(clusters=CLUSTERS, spherical=False)
        started = time.perf_counter()
        seeds = first_centers(store, config)
        print(f"{held} x {CHANNELS}, k = {CLUSTERS}; seeds {time.perf_counter() - started:.1f} s")
        found = {}
        for count in (1, 2, 4):
            with workers(count) as client:
                started = time.perf_counter()
                done = client.submit(lloyd, url, blocks, seeds, config).result()
                found[count] = done
                seconds = time.perf_counter() - started
                error = done[1].inertia / held
                print(f"{count} workers: {done[2]} steps, {seconds:.1f} s, error {error:.6f}")
        equal = all(
            np.array_equal(found[1][0], centers) and found[1][1].inertia == total.inertia
            for centers, total, _ in found.values()
        )
        names = [name for block in blocks for name in block]
        points = np.concatenate(
            [store.read(n, "descriptors").reshape(-1, CHANNELS).astype(np.float32) for n in names]
        )
    started = time.perf_counter()
    best = KMeans(CLUSTERS, n_init=10, random_state=0).fit(points).inertia_
    seconds = time.perf_counter() - started
    excess = found[1][1].inertia / best - 1
    print(f"scikit-learn, n_init=10: error {best / held:.6f}, {seconds:.1f} s")
    print(f"error against scikit-learn's: {100 * excess:+.3f} %; bits equal on 1, 2, 4: {equal}")
    return equal and excess <= 0.005


def memory(gigabytes: float) -> bool:
    images = round(gigabytes * 1e9 / (GRID[0] * GRID[1] * CHANNELS * 2))
    with tempfile.TemporaryDirectory(prefix="patchflow-kmeans-") as folder:
        url = generated_store(join(folder, "store"), images)
        limit = gigabytes * 1e9 / 10
        blocks = plan_blocks(DescriptorStore.open(url))
        seeds = np.random.default_rng(1).normal(size=(CLUSTERS, CHANNELS)).astype(np.float32)
        config = ClusterConfig(clusters=CLUSTERS, spherical=False, steps=1, tolerance=0.0)
        with workers(1, limit) as client:
            before = max(client.run(peak_memory).values())
            started = time.perf_counter()
            moved, total, _ = client.submit(lloyd, url, blocks, seeds, config).result()
            seconds = time.perf_counter() - started
            peak = max(client.run(peak_memory).values())
    print(f"{gigabytes} GB of descriptors in {images} images, a worker of {limit / 1e6:.0f} MB")
    moved_by = np.abs(moved - seeds).max()
    print(f"a step and the sums after it: {seconds:.1f} s, centres moved by {moved_by:.3f}")
    print(f"peak of the worker {peak / 1e6:.0f} MB, {before / 1e6:.0f} MB before it began")
    return int(total.counts.sum()) == images * GRID[0] * GRID[1] and peak <= limit


def peak_memory() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(text for text in lines if text.startswith("VmHWM")).split()[1]) * 1024


def killed() -> bool:
    """Results with a worker killed in the middle equal those without, bit for bit."""
    with tempfile.TemporaryDirectory(prefix="patchflow-kmeans-") as folder:
        url = generated_store(join(folder, "store"), 1024, (16, 16))
        blocks = plan_blocks(DescriptorStore.open(url))
        seeds = np.random.default_rng(1).normal(size=(CLUSTERS, CHANNELS)).astype(np.float32)
        config = ClusterConfig(clusters=CLUSTERS, steps=3, tolerance=0.0)
        alone, alone_total, _ = lloyd(url, blocks, seeds, config)
        with workers(3) as client:
            future = client.submit(lloyd, url, blocks, seeds, config)
            victim = wait_for_victim(client, future.key)
            os.kill(victim, signal.SIGKILL)
            during = not future.done()
            centers, total, _ = future.result()
    same = np.array_equal(centers, alone) and total.inertia == alone_total.inertia
    print(
        f"worker {victim} killed while the steps ran: {during}; bits equal to a run without: {same}"
    )
    return during and same


def wait_for_victim(client: Client, main: str) -> int:
    """The process of a worker that sums blocks and does not hold the steps themselves."""
    deadline = time.time() + 60
    while time.time() < deadline:
        for address, keys in client.processing().items():
            busy = [key for key in keys if key != main]
            if busy and main not in keys:
                return int(client.run(os.getpid, workers=[address])[address])
        time.sleep(0.01)
    raise TimeoutError("no worker began to sum blocks within a minute")


if __name__ == "__main__":
    print(json.dumps(machine("none")), flush=True)
    what, rest = (sys.argv[1:2] or ["objective"])[0], sys.argv[2:]
    if what == "objective":
        kept = objective(rest[0] if rest else None)
    elif what == "memory":
        kept = memory(float(rest[0]) if rest else 5.0)
    else:
        kept = killed()
    sys.exit(not kept)
