"""TokenCut on 60 x 80 patches: seconds, memory, and agreement with the dense solver.

    python tests/benchmarks/discovery.py --images DATA/VOC2007/JPEGImages --save FILE.npz
    python tests/benchmarks/discovery.py --load FILE.npz --arpack 160 --dense 4
    python tests/benchmarks/discovery.py --load FILE.npz --device cuda --batch 16 --dense 160

The first describes images at 840 x 1,120 pixels and keeps their descriptors (int8 with a scale
for each image and channel, as stores do). The others cut them; on a processor that process
imports no torch, and its peak is that of a worker that only cuts. `--dense N` solves the first N
again by LAPACK (on a GPU: cuSOLVER) in float64, from the same graph, and compares the boxes;
`--arpack N` by ARPACK to machine precision, the same answer in a tenth of the time.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine, own_peak
from scipy.linalg import eigh
from scipy.sparse.linalg import eigsh

from tasks.ops import token_cut as cutting
from tasks.ops.arrays import Array, to_numpy
from tasks.ops.boxes import component_at, mask_iou
from tasks.ops.discovery import mean_cosine, read_scene
from tasks.ops.spectral import cut_vectors, threshold_affinity

ROWS, COLS = 60, 80


def main() -> None:
    args = arguments()
    if args.save:
        describe(args)
        return
    with np.load(args.load) as stored:
        measure(stored, args)


def measure(stored: Any, args: Any) -> None:
    count = min(int(stored["count"]), args.count)
    what = {"device": args.device, "facet": str(stored["facet"]), "images": count}
    print(json.dumps(machine(str(stored["weights"]), args.device) | what))
    rates, found, before = [], [], own_peak() / 2**20
    for start in range(0, count, args.batch):
        values, saliency = read(stored, range(start, min(start + args.batch, count)), args.device)
        seconds, cuts = timed(lambda v=values, s=saliency: cutting.token_cut(v, s), args.device)
        if start or count <= args.batch:  # a first batch warms up
            rates.append(seconds / len(saliency))
        found += cuts
    low, mid, high = np.percentile(rates, [25, 50, 75])
    print(f"{mid:.4f} s an image [{low:.4f}, {high:.4f}], {1 / mid:.1f} images/s")
    print(
        f"peak of the process {own_peak() / 2**20:.0f} MiB, before the first cut {before:.0f} MiB"
    )
    if args.device != "cpu":
        import torch

        print(f"peak memory of the GPU {torch.cuda.max_memory_allocated() / 2**20:.0f} MiB")
    for solver in SOLVERS:
        if count := getattr(args, solver):
            compare(stored, found, solver, count, args)


def compare(stored: Any, found: list, solver: str, count: int, args: Any) -> None:
    """Another solver's boxes beside ours, from the same graphs."""
    same, seconds, steps, ious = [], [], [], []
    for i, ours in enumerate(found[:count]):
        values, saliency = read(stored, range(i, i + 1), args.device)
        unit = read_scene(values, saliency).unit
        graph = threshold_affinity(unit, mean_cosine(unit))
        steps.append(cut_vectors(graph).steps)
        spent, vector = timed(lambda g=graph: SOLVERS[solver](g[0]), args.device)
        seconds.append(spent)
        cut = cutting.partition(vector, (ROWS, COLS))
        mask = component_at(cut.side, cut.seed)
        same.append(extent(mask) == extent(ours.masks[0]))
        ious.append(mask_iou(mask, ours.masks[0]))
        print(i, same[-1], f"{ious[-1]:.4f} {spent:.1f} s", flush=True)
    print(
        f"{solver}'s box on {sum(same)} of {len(same)} images; IoU of the masks: mean "
        f"{np.mean(ious):.4f}, least {np.min(ious):.4f}; {solver} {np.median(seconds):.2f} s an "
        f"image; ours takes {np.median(steps):.0f} products with W, at most {max(steps)}"
    )


def read(stored: Any, numbers: range, device: str) -> tuple[Array, np.ndarray]:
    """Descriptors (B, ROWS, COLS, D) on the device and saliency of some images."""
    packed = [stored[f"{i}/int8"] * stored[f"{i}/scale"] for i in numbers]
    saliency = np.stack([stored[f"{i}/saliency"] for i in numbers])
    return on_device(np.stack(packed), device), saliency


def extent(mask: np.ndarray) -> tuple[int, ...]:
    rows, cols = np.nonzero(mask)
    return int(rows.min()), int(cols.min()), int(rows.max()), int(cols.max())


def dense(graph: Array) -> np.ndarray:
    """Second eigenvector of (D - W) y = lambda D y by LAPACK or cuSOLVER, all in float64."""
    if isinstance(graph, np.ndarray):
        wide, root = symmetric(graph)
        last = len(wide) - 2
        _, vectors = eigh(wide, subset_by_index=[last, last], overwrite_a=True)
        return root * vectors[:, 0]
    import torch

    wide = graph.double()
    root = wide.sum(dim=1).rsqrt()
    vectors = torch.linalg.eigh(wide * root[:, None] * root).eigenvectors
    return to_numpy(root * vectors[:, -2])


def arpack(graph: Array) -> np.ndarray:
    """The same by ARPACK to machine precision: a library's iterative solver, without our tricks."""
    wide, root = symmetric(to_numpy(graph))
    _, vectors = eigsh(wide, k=2, which="LA", tol=0, v0=np.ones(len(wide)))
    return root * vectors[:, 0]


def symmetric(graph: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """D^-1/2 W D^-1/2 in float64, and D^-1/2."""
    wide = graph.astype(np.float64)
    root = 1 / np.sqrt(wide.sum(axis=1))
    wide *= root[:, None] * root
    return wide, root


SOLVERS = {"dense": dense, "arpack": arpack}


def timed(run: Callable[[], Any], device: str) -> tuple[float, Any]:
    synchronise(device)
    started = time.perf_counter()
    result = run()
    synchronise(device)
    return time.perf_counter() - started, result


def synchronise(device: str) -> None:
    if device != "cpu":
        import torch

        torch.cuda.synchronize()


def on_device(values: np.ndarray, device: str) -> Array:
    values = values.astype(np.float32)
    if device == "cpu":
        return values
    import torch

    return torch.from_numpy(values).to(device)


def describe(args: Any) -> None:
    """Describe every image at ROWS x COLS patches (upright ones are turned on their side)."""
    import torch
    from PIL import Image

    from tasks.config import ExtractConfig
    from tasks.describe import describe as described
    from tasks.ops.quantise import quantise_batch

    config = ExtractConfig(
        weights=args.weights, layer=args.layer, facet=args.facet, stride=14, fit="native", batch=1
    ).replace(device=args.device)
    files = sorted(Path(args.images).iterdir())[:: args.step][: args.count]
    kept: dict[str, Any] = {"count": len(files), "facet": f"layer {args.layer} {args.facet}"}
    kept["weights"] = config.resolved_weights
    for i, file in enumerate(files):
        picture = Image.open(file).convert("RGB")
        if picture.height > picture.width:
            picture = picture.transpose(Image.Transpose.ROTATE_90)
        resized = np.asarray(picture.resize((14 * COLS, 14 * ROWS), Image.Resampling.BICUBIC))
        arrays = described([resized], config)[0].arrays
        batch = torch.from_numpy(arrays["descriptors"])[None]
        kept[f"{i}/int8"], kept[f"{i}/scale"] = (x[0].numpy() for x in quantise_batch(batch))
        kept[f"{i}/saliency"] = arrays["saliency"]
    np.savez(args.save, **kept)
    print(f"{len(files)} images in {args.save}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", help="folder of images, with --save")
    parser.add_argument("--save", help="file for their descriptors")
    parser.add_argument("--load", help="a file that --save wrote")
    parser.add_argument("--weights", help="their file, if the embedded ones are not installed")
    parser.add_argument("--layer", type=int, default=8)
    parser.add_argument("--facet", default="token")
    parser.add_argument("--step", type=int, default=1, help="use every n-th image")
    parser.add_argument("--count", type=int, default=10**6)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dense", type=int, default=0, help="images to solve densely as well")
    parser.add_argument("--arpack", type=int, default=0, help="images to solve by ARPACK as well")
    args = parser.parse_args()
    if bool(args.save) == bool(args.load) or bool(args.save) != bool(args.images):
        parser.error("give --images and --save, or --load")
    return args


if __name__ == "__main__":
    main()
