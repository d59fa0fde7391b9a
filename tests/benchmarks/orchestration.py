"""What Prefect costs: `python tests/benchmarks/orchestration.py [--images 2000] [--rounds 2]`.

Prints, as JSON:

* `start-up`: seconds from the start of `patchflow extract` without a server to its end, over one
  image, beside the same ops called by a bare script; the difference is Prefect's import, its
  temporary server and the flow.
* `overhead`: seconds of the flow over `--images` images in partitions of 256, beside the same
  ops called directly by as many threads. Server and model are warm. What goes first in a round
  goes second in the next: a machine that grows slower or faster favours neither.

Bars: start-up at most 12 s, overhead at most 5 %.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
from machine import machine
from PIL import Image

from storage.descriptors import DescriptorStore
from storage.images import list_images
from tasks.config import ExtractConfig
from tasks.extract import write_partition
from tasks.model import load_model
from tasks.plan import plan_extraction

THREADS = 2  # as the runner `threads` has


def main() -> None:
    args = arguments()
    folder = Path(tempfile.mkdtemp(prefix="patchflow-orchestration-"))
    os.environ |= {"PREFECT_HOME": str(folder / "home"), "PREFECT_LOGGING_LEVEL": "CRITICAL"}
    os.environ |= {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    try:
        photos = write_photos(folder / "photos", args.images)
        result = {
            **machine(settings(args.size, args.stride).resolved_weights),
            "images": args.images,
            "size": args.size,
            "stride": args.stride,
        }
        if "start-up" in args.measure:
            print(json.dumps(result | start_up(folder, args)), flush=True)
        if "overhead" in args.measure:
            print(json.dumps(result | overhead(folder, photos, args)), flush=True)
    finally:
        shutil.rmtree(folder)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    what = ("start-up", "overhead")
    parser.add_argument("--measure", nargs="+", choices=what, default=what)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--size", type=int, default=112, help="of the images")
    parser.add_argument("--stride", type=int, default=14)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--first", choices=("direct", "flow"), default="direct", help="in round 1")
    return parser.parse_args()


def write_photos(folder: Path, count: int) -> str:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        noise = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        picture = Image.fromarray(noise).resize((160, 160))
        picture.save(folder / f"{number:05d}.jpg", quality=90)
    return str(folder)


def settings(size: int, stride: int) -> ExtractConfig:
    return ExtractConfig(size=size, stride=stride, partition_size=256)


def extract_directly(photos: str, store: str, config: ExtractConfig) -> None:
    """What the flow `extract` does, without Prefect."""
    made = plan_extraction(list_images(photos), photos, store, config)
    opened = DescriptorStore.open(store)
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda part: write_partition(opened, part, made.config), made.partitions))


def overhead(folder: Path, photos: str, args: argparse.Namespace) -> dict[str, object]:
    from flows.extract import extract
    from flows.server import prefect_api

    config = settings(args.size, args.stride)
    load_model(config.model, config.weights, precision=config.precision, device=config.device)
    ways: dict[str, Callable[..., object]] = {"direct": extract_directly, "flow": extract}
    order = [args.first, *(way for way in ways if way != args.first)]
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    with prefect_api():
        extract(write_photos(folder / "warm", 4), str(folder / "warm-store"), config)
        for number in range(args.rounds):
            for way in order:
                store = folder / f"{way}-{number}"
                with server_asleep() if way == "direct" else contextlib.nullcontext():
                    began = time.perf_counter()
                    ways[way](photos, str(store), config)
                    seconds[way].append(time.perf_counter() - began)
                print(way, round(seconds[way][-1], 2), file=sys.stderr, flush=True)
                shutil.rmtree(store)
            order.reverse()
    share = sum(seconds["flow"]) / sum(seconds["direct"]) - 1
    return {
        "direct_s": [round(s, 2) for s in seconds["direct"]],
        "flow_s": [round(s, 2) for s in seconds["flow"]],
        "overhead_share": round(share, 4),
    }


@contextlib.contextmanager
def server_asleep() -> Iterator[None]:
    """Ops alone need no server: it takes no time from them."""
    servers = psutil.Process().children()
    for server in servers:
        server.suspend()
    try:
        yield
    finally:
        for server in servers:
            server.resume()


def start_up(folder: Path, args: argparse.Namespace) -> dict[str, object]:
    photo = write_photos(folder / "one", 1)
    root = Path(__file__).parents[2]
    given = [str(args.size), str(args.stride)]
    options = ["--size", given[0], "--stride", given[1]]
    script = (
        "import sys; sys.path.insert(0, 'tests/benchmarks'); import orchestration as o; "
        "o.extract_directly(sys.argv[1], sys.argv[2], o.settings(*map(int, sys.argv[3:])))"
    )
    cli = [sys.executable, "-c", "from flows.cli import main; main()", "extract"]
    seconds: dict[str, list[float]] = {"command": [], "bare": []}
    # The first start makes the database: its migrations are paid once.
    for number in range(args.rounds + 1):
        commands = {
            "command": [*cli, photo, str(folder / f"a{number}"), *options],
            "bare": [
                *[sys.executable, "-c", script],
                *[photo, str(folder / f"b{number}"), *given],
            ],
        }
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, cwd=root, check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - began)
    first, *later = (c - b for c, b in zip(seconds["command"], seconds["bare"], strict=True))
    return {
        "command_s": [round(s, 2) for s in seconds["command"]],
        "bare_s": [round(s, 2) for s in seconds["bare"]],
        "start_up_s": round(statistics.median(later), 2),
        "first_start_up_s": round(first, 2),
    }


if __name__ == "__main__":
    main()
