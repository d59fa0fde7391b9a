"""Time and memory of matching and search, apart from the extraction of descriptors.

    python tests/benchmarks/matching.py pairs     [--threads 2] [--rounds 7]
    python tests/benchmarks/matching.py search OUT [--patches 2000000] [--threads 2]

`pairs`: everything between two described images and the rows of matches.csv, for three grids (the
largest once, the second at most three times), each in a process of its own (peak memory includes
the libraries, given beside it; processor seconds, over all threads, hold on a machine that others
use too). Descriptors are smooth random maps that two views share in part; more patches have a best
buddy than in real pairs (PF-WILLOW: 46 salient ones of 961 on the median). "twice" is one image
matched with itself: all have one.
`search`: the exact nearest 100 of a store of int8 descriptors that the storage writer wrote
below OUT (kept there for another run), and the same by brute force in float64.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TypeVar

import dask
import numpy as np
import torch
from machine import machine, own_peak
from scipy.ndimage import gaussian_filter

from storage.descriptors import ArraySpec, DescriptorStore
from storage.images import ImageRef
from storage.planning import plan_partitions
from tasks.match_config import CorrespondConfig
from tasks.matching import View, compare, find_matches, join_facets
from tasks.ops.patch_grid import plan_grid
from tasks.ops.quantise import quantise_batch
from tasks.search import search_patches

# Name: patch, stride, size, facets of 384 channels, settings beside the defaults.
PAPER = {"also": (), "align": False, "mirror": False, "window": 0}
CASES: dict[str, tuple[int, int, int, int, dict[str, object]]] = {
    "224 stride 7, patch 14, default": (14, 7, 224, 2, {}),
    "224 stride 7, patch 14, paper's": (14, 7, 224, 1, PAPER),
    "224 stride 4, patch 8, default": (8, 4, 224, 2, {}),
    "224 stride 4, patch 8, paper's": (8, 4, 224, 1, PAPER),
    "448 stride 4, patch 8, default": (8, 4, 448, 2, {}),
    "448 stride 4, patch 8, paper's": (8, 4, 448, 1, PAPER),
}
T = TypeVar("T")
GRID, CHANNELS = (56, 56), 384


def peak_mib() -> int:
    return round(own_peak() / 2**20)


def smooth(rng: np.random.Generator, shape: tuple[int, ...], width: float) -> np.ndarray:
    noise = rng.standard_normal(shape, dtype=np.float32)
    found = gaussian_filter(noise, (width, width, 0))
    return found / found.std()


def half_shared(maps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A map that shares a square of 30 % of its area with `maps`, and is its own elsewhere."""
    other = smooth(rng, maps.shape, 1.5)
    low, high = (round(share * len(maps)) for share in (0.2, 0.75))
    inside = slice(low, high)
    other[inside, inside] = maps[inside, inside] + 0.5 * other[inside, inside]
    return other


def view(facets: list[np.ndarray], patch: int, stride: int, size: int) -> View:
    grid = plan_grid(500, 375, patch=patch, stride=(stride, stride), size=size, fit="square")
    maps = join_facets([torch.from_numpy(facet) for facet in facets])
    saliency = smooth(np.random.default_rng(9), (*grid.shape, 1), 4)[..., 0]
    return View("a", ImageRef("a", "a", 0, ""), grid, maps, (saliency > 0).astype(np.float32))


def pair(name: str, twice: bool, rounds: int) -> dict[str, object]:
    """One case, in this process."""
    patch, stride, size, facets, settings = CASES[name]
    config = CorrespondConfig(device="cpu", **settings)
    side = (size - patch) // stride + 1
    rng = np.random.default_rng(0)
    shape = (side, side, CHANNELS)
    shared = [smooth(rng, shape, 1.5) for _ in range(facets)]
    other = shared if twice else [half_shared(s, rng) for s in shared]
    source, target = (view(maps, patch, stride, size) for maps in (shared, other))
    before = peak_mib()
    seconds, processor = [], []
    for _ in range(rounds):
        started, used = time.perf_counter(), time.process_time()
        matches = find_matches(compare(source, target, config), config)
        seconds.append(time.perf_counter() - started)
        processor.append(time.process_time() - used)
    low, middle, high = np.percentile(seconds[1:] or seconds, [25, 50, 75]).round(3).tolist()
    return {
        "case": name + (", twice" if twice else ""),
        "patches": side * side,
        "buddies": matches.buddies,
        "seconds": middle,
        "quartiles": [low, high],
        "processor seconds": round(float(np.median(processor[1:] or processor)), 3),
        "peak_mib": peak_mib(),
        "of which before": before,
    }


def pairs(args: argparse.Namespace) -> None:
    for name, (patch, _, size, *_) in CASES.items():
        for twice in (False, True):
            rounds = 1 if size > 300 else min(args.rounds, 3) if patch < 14 else args.rounds
            if patch < 14 and twice:
                continue
            job = [sys.executable, __file__, "pair", name, "--threads", str(args.threads)]
            job += ["--rounds", str(rounds), *(["--twice"] * twice)]
            done = subprocess.run(job, capture_output=True, text=True, check=True)
            print(done.stdout.strip().splitlines()[-1], flush=True)


def make_store(url: str, patches: int) -> DescriptorStore:
    """A store of as many images as hold `patches`, int8 as the extraction writes it."""
    rows, cols = GRID
    count = -(-patches // (rows * cols))
    settings = {"patches": patches, "patch": 8, "stride": 8, "stride_x": None, "size": 448}
    settings |= {"fit": "square", "multiple": None}
    store = DescriptorStore.create_or_open(url, settings, {"name": "random"}, {})
    if len(store.index()) == count:
        return store
    specs = (
        ArraySpec("descriptors", ("row", "col", "channel"), (*GRID, CHANNELS), "int8"),
        ArraySpec("descriptors_scale", ("channel",), (CHANNELS,), "float32"),
    )
    refs = [ImageRef(f"{i:05d}.jpg", f"/none/{i:05d}.jpg", 1, "") for i in range(count)]
    sized = ((ref, 448, 448, GRID) for ref in refs)
    for partition in plan_partitions(sized, store.index(), store.config_digest, 256):
        writer = store.begin(partition, specs)
        for image in partition.images:
            rng = np.random.default_rng(int(image.ref.name[:5]))
            maps = rng.standard_normal((1, *GRID, CHANNELS), dtype=np.float32)
            values, scale = (x[0].numpy() for x in quantise_batch(torch.from_numpy(maps)))
            arrays = {"descriptors": values, "descriptors_scale": scale}
            writer.append(image.ref, image.width, image.height, arrays)
        writer.commit()
    store.refresh()
    return store


def brute_force(store: DescriptorStore, query: np.ndarray, hits: int) -> list[tuple[str, float]]:
    """Every patch in float64, image by image, all cosines sorted."""
    unit = query / np.linalg.norm(query)
    names: list[str] = []
    cosines = []
    for members in store.index().members().values():
        for image in members:
            rows = store.read(image.name).reshape(-1, CHANNELS).astype(np.float64)
            cosines.append(rows @ unit / np.sqrt(np.einsum("nd,nd->n", rows, rows)))
            names.append(image.name)
    each = np.stack(cosines)
    order = np.argsort(-each, axis=None, kind="stable")[:hits]
    return [(names[i // each.shape[1]], float(each.flat[i])) for i in order]


def search(args: argparse.Namespace) -> None:
    store = make_store(args.out, args.patches)
    rng = np.random.default_rng(1)
    near = store.read("00003.jpg")[20, 30]
    query = (near / near.std() + 1.5 * rng.standard_normal(CHANNELS)).astype(np.float64)
    before = peak_mib()
    with dask.config.set(scheduler="threads", num_workers=args.threads):
        report, seconds = timed(lambda: search_patches(store, query, 100, every_patch=True))
        _, of_images = timed(lambda: search_patches(store, query, 100))
    result = {"patches": report.patches, "seconds": seconds, "best of each image": of_images}
    result |= {"peak_mib": peak_mib(), "of which before": before}
    expected, brute = timed(lambda: brute_force(store, query, 100))
    found = [(hit.image, hit.similarity) for hit in report.hits]
    same = found == [(name, round(cosine, 5)) for name, cosine in expected]
    print(json.dumps(result | {"brute force seconds": brute, "equal to brute force": same}))
    if not same:
        raise SystemExit("the search differs from brute force")


def timed(run: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    found = run()
    return found, round(time.perf_counter() - started, 3)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["pairs", "pair", "search"])
    parser.add_argument("out", nargs="?", help="of search: where the store is or will be")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--patches", type=int, default=2_000_000)
    parser.add_argument("--twice", action="store_true")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    if args.what == "pair":
        print(json.dumps(pair(args.out, args.twice, args.rounds)))
        return
    print(json.dumps(machine("none")), flush=True)
    (pairs if args.what == "pairs" else search)(args)


if __name__ == "__main__":
    main()
