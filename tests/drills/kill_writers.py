"""SIGKILL at random moments of writing, two writers at once.

`python tests/drills/kill_writers.py [ROUNDS]`: two processes write one store with listings that
overlap; both are killed after a random time, ROUNDS times over. Then one runs to its end.
Nothing may be lost, counted twice or damaged.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from storage.descriptors import ArraySpec, DescriptorStore
from storage.gc import gc
from storage.planning import compare, plan_partitions
from storage.refs import ImageRef
from storage.verify import verify

GRID, CHANNELS, IMAGES, PARTITION = (8, 8), 64, 1600, 16
SPECS = (
    ArraySpec("descriptors", ("row", "col", "channel"), (*GRID, CHANNELS), "float16"),
    ArraySpec("saliency", ("row", "col"), GRID, "float32"),
)


def open_store(url: str) -> DescriptorStore:
    return DescriptorStore.create_or_open(url, {"model": "drill"}, {"sha256": "0"}, {})


def listing(who: int) -> list[ImageRef]:
    """Writer 1 sees the last ten images later than writer 0: its partitions are others."""
    count = IMAGES if who == 0 else IMAGES - 10
    return [ImageRef(f"{i:04d}.jpg", f"/{i:04d}.jpg", 1, "v1") for i in range(count)]


def values(ref: ImageRef) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(int(ref.name[:4]))
    return {spec.name: rng.random(spec.shape).astype(spec.dtype) for spec in SPECS}


def write_all(url: str, who: int, pause: float) -> int:
    """One run; it goes slowly so that a kill may fall anywhere in it."""
    store = open_store(url)
    todo = compare(listing(who), store.index()).todo
    sized = ((ref, 64, 64, GRID) for ref in todo)
    computed = 0
    for partition in plan_partitions(sized, store.index(), store.config_digest, PARTITION):
        if store.committed(partition.id) is not None:
            continue
        writer = store.begin(partition, SPECS)
        for image in partition.images:
            writer.append(image.ref, 64, 64, values(image.ref))
            time.sleep(pause)
        writer.commit()
        computed += 1
    return computed


def drill(rounds: int, seed: int = 0) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    folder = tempfile.mkdtemp(prefix="patchflow-kill-")
    url = str(Path(folder) / "store")
    kills = 0
    remaining: list[int] = []
    try:
        for _ in range(rounds):
            writers = [
                subprocess.Popen(
                    [sys.executable, __file__, "--write", url, str(who)],
                    stderr=subprocess.PIPE,
                )
                for who in (0, 1)
            ]
            wait_until_writing(url)
            time.sleep(rng.uniform(0, 1.0))
            for writer in writers:
                ended = writer.poll()
                if ended is None:
                    writer.kill()
                    kills += 1
                elif ended != 0:
                    raise RuntimeError(writer.communicate()[1].decode())
                writer.communicate()
            remaining.append(IMAGES - len(open_store(url).index()))
        write_all(url, 0, 0.0)
        return judge(url) | {"rounds": rounds, "kills": kills, "left_by_round": remaining}
    finally:
        shutil.rmtree(folder)


def wait_until_writing(url: str) -> None:
    """Until a writer of this round has begun a partition, or everything is written."""
    partitions = Path(url) / "partitions"
    started = time.time()
    while time.time() < started + 20:
        if partitions.exists():
            attempts = [a.stat().st_mtime for p in partitions.iterdir() for a in p.iterdir()]
            if any(moment > started for moment in attempts):
                return
        time.sleep(0.02)
        if len(open_store(url).index()) == IMAGES:
            return


def judge(url: str) -> dict[str, int]:
    store = open_store(url)
    index = store.index()
    counted = Counter(image.name for images in index.members().values() for image in images)
    lost = sum(ref.name not in index for ref in listing(0))
    wrong = 0
    for ref in listing(0):
        stored = {spec.name: store.read(ref.name, spec.name) for spec in SPECS}
        wrong += any(not np.array_equal(stored[key], value) for key, value in values(ref).items())
    report = verify(store)
    swept = gc(store, grace_seconds=0)
    return {
        "images": len(index),
        "lost": lost,
        "twice": sum(count > 1 for count in counted.values()),
        "wrong": wrong,
        "spare_rows": sum(p.count for p in store.partitions()) - len(index),
        "problems": len(report.problems),
        "attempts_swept": swept.attempts,
        "problems_after_gc": len(verify(store).problems),
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        write_all(sys.argv[2], int(sys.argv[3]), 0.004)
    else:
        result = drill(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
        print(json.dumps(result))
        bad = ("lost", "twice", "wrong", "problems", "problems_after_gc")
        sys.exit(any(result[key] for key in bad))
