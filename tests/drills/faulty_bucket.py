"""A bucket that fails: 5 % of requests at random, and the server stopped for 5 s in mid-run.

`python tests/drills/faulty_bucket.py [IMAGES]` writes a store as extraction tasks do (a failed
partition is tried again where the error is a storage fault) and prints what was lost.
`python tests/drills/faulty_bucket.py --extract FOLDER` runs `patchflow extract` on photographs.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import local_servers
import numpy as np

from storage.descriptors import ArraySpec, DescriptorStore
from storage.errors import is_storage_fault
from storage.planning import Partition, compare, plan_partitions
from storage.refs import ImageRef
from storage.verify import verify

GRID = (8, 8)
SPECS = (ArraySpec("descriptors", ("row", "col", "channel"), (*GRID, 64), "float16"),)
URL = "s3://bucket/store"
# As a user would set it for a bucket that hangs: the default waits a minute.
PATIENCE = {"config_kwargs": {"read_timeout": 2, "connect_timeout": 2}}


def values(ref: ImageRef) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(int(ref.name[:5]))
    return {spec.name: rng.random(spec.shape).astype(spec.dtype) for spec in SPECS}


def patiently(work: Callable[[], object], tries: int = 5) -> object:
    """As tasks retry: storage faults only, with growing pauses."""
    for attempt in range(tries - 1):
        try:
            return work()
        except Exception as error:
            if not is_storage_fault(error):
                raise
            time.sleep(2.0 * 2**attempt)
    return work()


def write(partition: Partition) -> None:
    store = DescriptorStore.open(URL)
    if store.committed(partition.id) is not None:
        return
    writer = store.begin(partition, SPECS)
    for image in partition.images:
        writer.append(image.ref, 64, 64, values(image.ref))
    writer.commit()


def write_store(images: int) -> None:
    refs = [ImageRef(f"{i:05d}.jpg", f"/{i:05d}.jpg", 1, "v1") for i in range(images)]

    def plan() -> tuple[Partition, ...]:
        store = DescriptorStore.create_or_open(URL, {"model": "drill"}, {"sha256": "0"}, {})
        todo = compare(refs, store.index()).todo
        sized = ((ref, 64, 64, GRID) for ref in todo)
        return plan_partitions(sized, store.index(), store.config_digest, 16)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(patiently, lambda p=p: write(p)) for p in patiently(plan)]:
            done.result()


def extract(folder: str) -> None:
    command = [sys.executable, "-c", "from flows.cli import main; main()", "extract", folder, URL]
    options = ["--stride", "14", "--partition-size", "8"]
    subprocess.run([*command, *options], check=True)


def drill(run: Callable[[], None], share: float = 0.05, outage: float = 5.0) -> dict[str, object]:
    """Run with faults, then look at what is there without them."""
    folder = Path(tempfile.mkdtemp(prefix="patchflow-faults-"))
    server = local_servers.s3_server(folder)
    server.start()
    proxy = local_servers.FaultyProxy(server.port, share)
    proxy.start()
    outages: list[float] = []
    over = threading.Event()

    def interrupt() -> None:
        # In mid-run: some partitions are there, and more to come.
        while not over.is_set() and len(list((folder / "bucket/store/commits").glob("*"))) < 3:
            time.sleep(0.02)
        server.stop()
        time.sleep(outage)
        server.start()
        outages.append(outage)

    interruption = threading.Thread(target=interrupt)
    interruption.start()
    try:
        started = time.perf_counter()
        with local_servers.configured("s3", local_servers.s3_settings(proxy.port) | PATIENCE):
            run()
            seconds = time.perf_counter() - started
            over.set()
            interruption.join()
            proxy.share = 0.0
            return judge() | {
                "requests": proxy.requests,
                "faults": proxy.faults,
                "outages": outages,
                "seconds": round(seconds, 1),
            }
    finally:
        over.set()
        interruption.join()
        proxy.stop()
        server.stop()
        shutil.rmtree(folder)


def judge() -> dict[str, object]:
    store = DescriptorStore.open(URL)
    report = verify(store)
    rows = sum(partition.count for partition in store.partitions())
    return {
        "images": len(store.index()),
        "twice": rows - len(store.index()),
        "problems": len(report.problems),
        "attempts_left": report.uncommitted,
    }


def main() -> int:
    if sys.argv[1:2] == ["--extract"]:
        from storage.images import list_images

        expected = len(list_images(sys.argv[2]))
        result = drill(lambda: extract(sys.argv[2]))
    else:
        expected = int(sys.argv[1]) if len(sys.argv) > 1 else 480
        result = drill(lambda: write_store(expected))
    result["lost"] = expected - int(str(result["images"]))
    print(json.dumps(result))
    return int(bool(result["lost"] or result["twice"] or result["problems"]))


if __name__ == "__main__":
    sys.exit(main())
