"""From a folder of JPEG files to a committed store: images a second, and what each stage did.

    python tests/benchmarks/store.py PHOTOS WORK --count 4096 --processes 0 8

Cuts `count` pictures of 4:3, 500 pixels wide or --width, out of the photographs in PHOTOS, writes
them to WORK as JPEG files, plans, and stores their descriptors with the tasks' own function, some
partitions at a time as the runner has them: in threads, or in processes as Dask's workers are.
Prefect itself is left out: it costs milliseconds a partition (tests/benchmarks/orchestration.py).
Random weights unless --weights says otherwise.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import time
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import largest_peak, machine
from PIL import Image

from storage.descriptors import DescriptorStore
from storage.images import list_images
from storage.planning import Partition
from tasks.config import ExtractConfig
from tasks.describe import batch_size, model_of, start
from tasks.extract import write_partition
from tasks.plan import plan_extraction
from tasks.stages import PartitionReport, occupancy, own_cores


def main() -> None:
    args = arguments()
    work = Path(args.work)
    sources = [Image.open(file).convert("RGB") for file in sorted(Path(args.photos).iterdir())]
    folder = work / "jpeg"
    shutil.rmtree(work, ignore_errors=True)
    folder.mkdir(parents=True)
    with ThreadPoolExecutor() as pool:
        sizes = list(
            pool.map(
                lambda i: cut(sources[i % len(sources)], folder, i, args.width), range(args.count)
            )
        )
    print(json.dumps(machine(args.weights, args.device) | vars(args)))
    print(f"{args.count} files of {np.mean(sizes) / 1e3:.0f} KB on average")
    config = ExtractConfig(
        model=args.model,
        weights=args.weights,
        layer=args.layer,
        facet="key",
        stride=args.stride,
        size=224,
        fit="square",
        dtype=args.dtype,
        device=args.device,
        partition_size=args.partition_size,
    )
    for processes in args.processes:
        for run in range(args.runs):
            url = work / f"store-{processes}-{run}"
            once(str(folder), str(url), config, processes, args)
            shutil.rmtree(url)


def once(
    folder: str, url: str, config: ExtractConfig, processes: int, args: argparse.Namespace
) -> None:
    started = time.perf_counter()
    made = plan_extraction(list_images(folder), folder, url, config)
    planned = time.perf_counter() - started
    with workers(processes, args, made.config) as pool:
        started = time.perf_counter()
        count = len(made.partitions)
        reports = list(pool.map(one, [url] * count, made.partitions, [made.config] * count))
        seconds = time.perf_counter() - started
    stored = sum(report.stored for report in reports)
    size = sum(file.stat().st_size for file in Path(url).rglob("*") if file.is_file())
    how = f"{processes} processes, {args.gpus} device" if processes else f"{args.at_once} threads"
    print(
        f"{how}: plan {planned:.1f} s; {stored} images in {seconds:.2f} s: "
        f"{stored / seconds:.1f} images/s, {size / seconds / 1e6:.0f} MB/s to disk"
    )
    print(occupancy(reports).line, f"; largest process {largest_peak() / 1e9:.2f} GB", flush=True)


def workers(processes: int, args: argparse.Namespace, config: ExtractConfig) -> Executor:
    """Threads of this process, or processes that share its device as Dask's workers do, ready."""
    if processes == 0:
        warm(config)
        return ThreadPoolExecutor(args.at_once)
    share = max(1, own_cores() // max(args.processes))
    os.environ["OMP_NUM_THREADS"] = str(share)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        processes,
        context,
        initializer=take_device,
        initargs=(config, context.Value("i", 0), args.gpus),
    )
    # The last worker is ready when as many naps as there are workers have overlapped.
    list(pool.map(time.sleep, [2.0] * processes))
    return pool


# Which device this process works on.
_DEVICE: list[str] = []


def take_device(config: ExtractConfig, taken: Any, gpus: int) -> None:
    """Workers share the GPUs evenly."""
    with taken.get_lock():
        number, taken.value = taken.value, taken.value + 1
    _DEVICE.append(f"cuda:{number % gpus}" if config.device == "cuda" else config.device)
    warm(config.replace(device=_DEVICE[0]))


def warm(config: ExtractConfig) -> None:
    model = model_of(config)
    canvas = np.zeros((config.size, config.size, 3), dtype=np.uint8)
    side = 1 + (config.size - model.patch) // config.stride
    start([canvas] * batch_size(config, model, (side, side)), config, model, packed=True).images()


def one(url: str, partition: Partition, config: ExtractConfig) -> PartitionReport:
    if _DEVICE:
        config = config.replace(device=_DEVICE[0])
    return write_partition(DescriptorStore.open(url), partition, config)


def cut(source: Image.Image, folder: Path, number: int, width_px: int = 500) -> int:
    """A piece of a photograph, of a place and size of its own."""
    rng = np.random.default_rng(number)
    scale = rng.uniform(0.5, 1.0) * min(source.width / 4, source.height / 3)
    width, height = int(4 * scale), int(3 * scale)
    left = int(rng.integers(source.width - width + 1))
    top = int(rng.integers(source.height - height + 1))
    piece = source.resize(
        (width_px, width_px * 3 // 4), box=(left, top, left + width, top + height)
    )
    file = folder / f"{number:06d}.jpg"
    piece.save(file, quality=90)
    return file.stat().st_size


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos")
    parser.add_argument("work")
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--model", default="vit_small_patch8_224")
    parser.add_argument("--weights", default="random")
    parser.add_argument("--layer", type=int, default=11)
    parser.add_argument("--stride", type=int, default=4)
    parser.add_argument("--dtype", default="int8")
    parser.add_argument("--width", type=int, default=500, help="of the pictures, in pixels")
    parser.add_argument("--partition-size", type=int, default=256)
    parser.add_argument("--at-once", type=int, default=4, help="partitions, in threads")
    parser.add_argument("--processes", type=int, nargs="+", default=[0], help="instead of threads")
    parser.add_argument("--gpus", type=int, default=1, help="that processes share")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


if __name__ == "__main__":
    main()
