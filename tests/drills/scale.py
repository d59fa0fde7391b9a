"""What an image costs in stores of 10,000 to 1,000,000: `python tests/drills/scale.py [COUNT ...]`.

Each step runs in a process of its own, so that its peak memory is its own. Descriptors are tiny
(1 patch, 4 channels); listing, planning, commits and index are those of a real run.
"""

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from storage.compact import compact
from storage.descriptors import ArraySpec, DescriptorStore
from storage.planning import compare, plan_partitions
from storage.refs import ImageRef

ARRAYS = (ArraySpec("descriptors", ("row", "col", "channel"), (1, 1, 4), "float16"),)
STEPS = ("plan", "write", "unchanged", "find cold", "compact", "find", "unchanged again")
BARS = {"plan": (60, 2.0), "unchanged": (60, 2.0), "unchanged again": (60, 2.0), "find": (1, 2.0)}


def listing(count: int) -> Iterator[ImageRef]:
    for number in range(count):
        name = f"{number // 10_000:04d}/photograph-{number:08d}.jpg"
        version = f"2026-01-01T00:00:{number % 60:02d}.{number % 10**6:06d}+00:00"
        yield ImageRef(name, f"s3://bucket-of-photographs/{name}", 200_000 + number, version)


def open_store(url: str) -> DescriptorStore:
    return DescriptorStore.create_or_open(url, {"model": "tiny"}, {"sha256": "0"}, {})


def planned(store: DescriptorStore, count: int) -> tuple:
    changes = compare(listing(count), store.index())
    sized = ((ref, 640, 480, (1, 1)) for ref in changes.todo)
    return plan_partitions(sized, store.index(), store.config_digest)


def step(name: str, url: str, count: int) -> None:
    store = open_store(url)
    if name == "plan":
        assert sum(len(partition.images) for partition in planned(store, count)) == count
    elif name == "write":
        for number, partition in enumerate(planned(store, count)):
            writer = store.begin(partition, ARRAYS)
            for position, image in enumerate(partition.images):
                values = np.full((1, 1, 4), number + position, np.float16)
                writer.append(image.ref, 640, 480, {"descriptors": values})
            writer.commit()
    elif name.startswith("unchanged"):
        changes = compare(listing(count), store.index())
        assert (changes.unchanged, len(changes.todo), len(changes.gone)) == (count, 0, 0)
    elif name == "compact":
        assert compact(store).images == count
    else:
        wanted = count * 2 // 3
        found = store.find(f"{wanted // 10_000:04d}/photograph-{wanted:08d}.jpg")
        store.read(found.name)


def measure(name: str, url: str, count: int) -> tuple[float, float, float]:
    """Seconds of the clock and of the processor, and GiB, of one step in a child process."""
    command = [sys.executable, __file__, "--step", name, url, str(count)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return tuple(json.loads(out.splitlines()[-1]))


def main(counts: list[int]) -> None:
    print(
        f"{'images':>9} {'step':<16} {'seconds':>9} {'CPU s':>9} {'CPU us/image':>12} "
        f"{'peak GiB':>9}  bar"
    )
    for count in counts:
        folder = tempfile.mkdtemp(prefix="patchflow-scale-")
        try:
            for name in STEPS:
                seconds, busy, peak = measure(name, str(Path(folder) / "store"), count)
                bar = ""
                if name in BARS:
                    met = seconds <= BARS[name][0] and peak <= BARS[name][1]
                    bar = f"<= {BARS[name][0]} s, {BARS[name][1]} GiB: {'met' if met else 'MISSED'}"
                each = 1e6 * busy / count
                print(
                    f"{count:>9} {name:<16} {seconds:>9.2f} {busy:>9.2f} {each:>12.1f} "
                    f"{peak:>9.2f}  {bar}",
                    flush=True,
                )
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]:
        started, began = time.perf_counter(), time.process_time()
        step(sys.argv[2], sys.argv[3], int(sys.argv[4]))
        taken = time.perf_counter() - started
        busy = time.process_time() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps((taken, busy, peak)))
    else:
        main([int(text) for text in sys.argv[1:]] or [10_000, 100_000, 1_000_000])
