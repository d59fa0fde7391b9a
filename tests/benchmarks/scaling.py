"""Extraction over Dask workers of one machine: how much faster with more of them.

    python tests/benchmarks/scaling.py PHOTOS WORK --workers 1 2

Strong scaling: the same images for any number of workers. Weak: as many images for each worker.
A worker is a process with one thread, as `--runner dask` starts them, ready before the clock
starts; images are pictures of 500x375 pixels cut out of the photographs in PHOTOS, written to WORK
and stored with the tasks' own function. Rounds alternate; Prefect is left out
(tests/benchmarks/orchestration.py).
"""

import argparse
import json
import shutil
import time
from pathlib import Path

import numpy as np
from distributed import Client, LocalCluster, wait
from machine import largest_peak, machine
from PIL import Image
from store import cut, one, warm

from storage.images import list_images
from tasks.config import ExtractConfig
from tasks.plan import plan_extraction


def main() -> None:
    args = arguments()
    sources = [Image.open(file).convert("RGB") for file in sorted(args.photos.iterdir())]
    shutil.rmtree(args.work, ignore_errors=True)
    counts = {"strong": dict.fromkeys(args.workers, args.images)}
    counts["weak"] = {count: count * args.images // max(args.workers) for count in args.workers}
    for count in {n for kind in counts.values() for n in kind.values()}:
        folder = args.work / f"jpeg-{count}"
        folder.mkdir(parents=True)
        for i in range(count):
            cut(sources[i % len(sources)], folder, i)
    weights = ExtractConfig().resolved_weights
    print(json.dumps(machine(weights) | {"images": args.images}))
    rates: dict[tuple[str, int], list[float]] = {}
    for _ in range(args.rounds):
        for workers in args.workers:
            with (
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    host="127.0.0.1",
                    dashboard_address=None,
                    env={"OMP_NUM_THREADS": "1"},
                ) as cluster,
                Client(cluster) as client,
            ):
                client.run(warm, ExtractConfig(stride=args.stride, fit="square"))
                for kind, of in counts.items():
                    rate = run(client, args.work, of[workers], args.stride)
                    rates.setdefault((kind, workers), []).append(rate)
    for (kind, workers), found in rates.items():
        alone = np.median(rates[kind, args.workers[0]])
        low, mid, high = np.percentile(found, [25, 50, 75])
        print(
            f"{kind:6s} {workers} workers, {counts[kind][workers]} images: {mid:.2f} images/s "
            f"[{low:.2f}, {high:.2f}], {mid / alone:.2f} times those of {args.workers[0]}"
        )
    print(f"largest process {largest_peak() / 1e9:.2f} GB")


def run(client: Client, work: Path, count: int, stride: int) -> float:
    """Images a second from the first partition's start to the last one's commit."""
    folder, url = str(work / f"jpeg-{count}"), str(work / "store")
    config = ExtractConfig(stride=stride, fit="square", partition_size=8)
    made = plan_extraction(list_images(folder), folder, url, config)
    started = time.perf_counter()
    futures = [client.submit(one, url, part, made.config, pure=False) for part in made.partitions]
    wait(futures)
    seconds = time.perf_counter() - started
    stored = sum(report.stored for report in client.gather(futures))
    shutil.rmtree(url)
    assert stored == count
    return stored / seconds


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--stride", type=int, default=14)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
