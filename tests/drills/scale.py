"""What an image costs in stores of 10,000 to 1,000,000: `python tests/drills/scale.py [COUNT ...]`.

Each step runs in a process of its own, so that its peak memory is its own, several times
(`--rounds`; medians are printed), but for writing. Descriptors are tiny (1 patch, 4 channels);
listing, planning, commits and index are those of a real run. `--keep FOLDER` leaves the stores
there, so that the next call need not write them. The last column is what an image costs in terms
of what it costs in the first store.
"""

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from storage.compact import compact
from storage.descriptors import ArraySpec, DescriptorStore
from storage.planning import plan_partitions
from storage.refs import ImageRef
from storage.survey import Survey

ARRAYS = (ArraySpec("descriptors", ("row", "col", "channel"), (1, 1, 4), "float16"),)
STEPS = ("plan", "write", "unchanged", "find cold", "compact", "find", "unchanged again")
BARS = {"plan": (60, 2.0), "unchanged": (60, 2.0), "unchanged again": (60, 2.0), "find": (1, 2.0)}


class Cost(NamedTuple):
    """Seconds of the clock and of the processor, and GiB, of one step in a process of its own."""

    seconds: float
    busy: float
    peak: float


class Source:
    """A synthetic listing, made anew each time that it is gone through."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[ImageRef]:
        for number in range(self.count):
            name = f"{number // 10_000:04d}/photograph-{number:08d}.jpg"
            version = f"2026-01-01T00:00:{number % 60:02d}.{number % 10**6:06d}+00:00"
            yield ImageRef(name, f"s3://bucket-of-photographs/{name}", 200_000 + number, version)


def open_store(url: str) -> DescriptorStore:
    return DescriptorStore.create_or_open(url, {"model": "tiny"}, {"sha256": "0"}, {})


def planned(store: DescriptorStore, found: Survey) -> tuple:
    sized = ((ref, 640, 480, (1, 1)) for ref in found.changes.todo)
    return plan_partitions(sized, found.index, store.config_digest)


def step(name: str, url: str, count: int) -> None:
    store = open_store(url)
    if name == "plan":
        partitions = planned(store, store.survey(Source(count)))
        assert sum(len(partition.images) for partition in partitions) == count
    elif name == "write":
        for number, partition in enumerate(planned(store, store.survey(Source(count)))):
            writer = store.begin(partition, ARRAYS)
            for position, image in enumerate(partition.images):
                values = np.full((1, 1, 4), number + position, np.float16)
                writer.append(image.ref, 640, 480, {"descriptors": values})
            writer.commit()
    elif name.startswith("unchanged"):
        changes = store.survey(Source(count)).changes
        assert (changes.unchanged, len(changes.todo), len(changes.gone)) == (count, 0, 0)
    elif name == "compact":
        assert compact(store).images == count
    else:
        wanted = count * 2 // 3
        found = store.find(f"{wanted // 10_000:04d}/photograph-{wanted:08d}.jpg")
        store.read(found.name)


def measure(name: str, url: Path, count: int, rounds: int) -> Cost:
    """The medians over some rounds."""
    costs = []
    for _ in range(1 if name == "write" else rounds):
        if name == "compact":
            shutil.rmtree(url / "index", ignore_errors=True)
        place = url.with_name("empty") if name == "plan" else url
        command = [sys.executable, __file__, "--step", name, str(place), str(count)]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        costs.append(Cost(*json.loads(out.splitlines()[-1])))
    return Cost(*(statistics.median(column) for column in zip(*costs, strict=True)))


def curve(counts: list[int], folder: Path, rounds: int) -> None:
    print(
        f"{'images':>9} {'step':<16} {'seconds':>9} {'CPU s':>9} {'CPU us/image':>12} "
        f"{'peak GiB':>9} {'times':>6}  bar"
    )
    first: dict[str, float] = {}
    for count in counts:
        url = folder / str(count) / "store"
        written = url.with_name("written")
        for name in STEPS:
            if name == "write" and written.exists():
                continue
            if name == "unchanged":
                shutil.rmtree(url / "index", ignore_errors=True)
            cost = measure(name, url, count, rounds)
            if name == "write":
                written.touch()
            each = 1e6 * cost.busy / count
            times = each / first.setdefault(name, each)
            print(
                f"{count:>9} {name:<16} {cost.seconds:>9.2f} {cost.busy:>9.2f} {each:>12.2f} "
                f"{cost.peak:>9.2f} {times:>6.2f}  {verdict(name, cost)}",
                flush=True,
            )


def verdict(name: str, cost: Cost) -> str:
    if name not in BARS:
        return ""
    seconds, peak = BARS[name]
    met = cost.seconds <= seconds and cost.peak <= peak
    return f"<= {seconds} s, {peak} GiB: {'met' if met else 'MISSED'}"


def run_step(name: str, url: str, count: int) -> None:
    """Take one step in this process and print what it cost."""
    started, began = time.perf_counter(), time.process_time()
    step(name, url, count)
    taken, busy = time.perf_counter() - started, time.process_time() - began
    print(json.dumps((taken, busy, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("counts", nargs="*", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--keep", type=Path, help="folder of the stores, by default a passing one")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    folder = given.keep or Path(tempfile.mkdtemp(prefix="patchflow-scale-"))
    try:
        curve(given.counts, folder, given.rounds)
    finally:
        if given.keep is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]:
        run_step(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()
