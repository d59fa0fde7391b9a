"""A run whose parts die: `python tests/drills/orchestration.py [DRILL ...]` prints what was lost.

Real servers on loopback (PostgreSQL, Prefect, Dask scheduler and two workers, S3). Each drill
extracts small images from the bucket into a store of its own with `patchflow extract`, does harm
when the first partitions are committed, and runs the command again where the run itself failed.
Then every image must be there once, and `verify` finds nothing. The full disk is a tmpfs, which
takes root to mount; without root that drill is left out.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import local_servers
import local_stack
import numpy as np
from PIL import Image

from storage.descriptors import DescriptorStore
from storage.verify import verify

IMAGES, PARTITION = 120, 6
OPTIONS = (
    "--model test_vit --weights random --layer 3 --facet key --size 96 --stride 4 --batch 1 "
    f"--precision float32 --partition-size {PARTITION}"
)
SMALL_DISK = "1500k"  # less than half of what the descriptors take
Harm = Callable[[local_stack.Stack, "subprocess.Popen[bytes]"], None]


def kill_flow(stack: local_stack.Stack, run: "subprocess.Popen[bytes]") -> None:
    run.kill()


def kill_dask_worker(stack: local_stack.Stack, run: "subprocess.Popen[bytes]") -> None:
    stack.kill("dask-0")
    time.sleep(5)
    stack.start_dask_worker(0)


def hang_dask_worker(stack: local_stack.Stack, run: "subprocess.Popen[bytes]") -> None:
    """For good: its nanny starts another one when the scheduler has waited for a sign of life."""
    stack.hang_dask_worker(0)
    time.sleep(40)


def kill_scheduler(stack: local_stack.Stack, run: "subprocess.Popen[bytes]") -> None:
    stack.kill("scheduler")
    time.sleep(5)
    stack.start_scheduler()
    for number in range(2):
        stack.kill(f"dask-{number}")
        stack.start_dask_worker(number)


def stop_s3(stack: local_stack.Stack, run: "subprocess.Popen[bytes]") -> None:
    stack.kill("s3")
    time.sleep(10)
    stack.start_s3()


def stop_prefect(stack: local_stack.Stack, run: "subprocess.Popen[bytes]") -> None:
    stack.kill("prefect")
    time.sleep(10)
    stack.start_prefect()


def fill_disk(stack: local_stack.Stack, run: "subprocess.Popen[bytes]") -> None:
    """Nothing more can be written for 10 seconds; then somebody makes room."""
    disk = stack.folder / "disk"
    while run.poll() is None and shutil.disk_usage(disk).free > 32_768:
        time.sleep(0.02)
    time.sleep(10)
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)


DRILLS: dict[str, Harm] = {
    "flow-process-killed": kill_flow,
    "dask-worker-killed": kill_dask_worker,
    "dask-worker-hangs": hang_dask_worker,
    "dask-scheduler-killed": kill_scheduler,
    "s3-down-10s": stop_s3,
    "prefect-down-10s": stop_prefect,
    "disk-full-10s": fill_disk,
}


def fill(folder: Path) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(IMAGES):
        noise = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((64, 64)).save(folder / f"{i:03}.png")


def start(stack: local_stack.Stack, store: str) -> "subprocess.Popen[bytes]":
    code = "from flows.cli import main; main()"
    places = ["extract", "s3://bucket/photos", store, "--runner", stack.scheduler]
    command = [sys.executable, "-c", code, *places, *OPTIONS.split()]
    with (stack.folder / "flow.log").open("ab") as output:
        return subprocess.Popen(
            command, cwd=local_stack.ROOT, env=stack.env, stdout=output, stderr=output
        )


@contextlib.contextmanager
def place(stack: local_stack.Stack, name: str) -> Iterator[tuple[str, Path]]:
    """URL of a drill's store, and the folder of this machine where it lies."""
    if name != "disk-full-10s":
        yield f"s3://bucket/{name}", stack.folder / "s3" / "bucket" / name
        return
    disk = stack.folder / "disk"
    disk.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs"]
    subprocess.run(["mount", *options, str(disk)], check=True)
    try:
        yield str(disk / "store"), disk / "store"
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def drill(stack: local_stack.Stack, name: str, limit: float = 300) -> dict[str, object]:
    """Do one drill.

    Returns:
        ``ended`` is the first run's exit status (-9 where the drill killed it, None where it hung
        and had to be killed), ``runs_after`` how often it was run again.
    """
    with place(stack, name) as (store, folder):

        def committed() -> int:
            return len(list((folder / "commits").glob("*.json")))

        began = time.monotonic()
        run = start(stack, store)
        while run.poll() is None and committed() < 3 and time.monotonic() < began + limit:
            time.sleep(0.02)
        before = committed()
        DRILLS[name](stack, run)
        ended: int | None = None
        try:
            ended = run.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            run.kill()
            run.wait()
        runs_after = 0
        while ended != 0 and committed() < IMAGES // PARTITION and runs_after < 2:
            runs_after += 1
            start(stack, store).wait(timeout=limit)
        seconds = round(time.monotonic() - began, 1)
        opened = DescriptorStore.open(store)
        found = opened.index()
        rows = sum(partition.count for partition in opened.partitions())
        return {
            "drill": name,
            "committed_before": before,
            "ended": ended,
            "runs_after": runs_after,
            "lost": IMAGES - len(found),
            "twice": rows - len(found),
            "problems": len(verify(opened).problems),
            "seconds": seconds,
        }


def main(names: list[str]) -> int:
    bad = 0
    with local_stack.whole_stack(deployed=False, ttl="30s") as stack:
        local_servers.configure("s3", local_servers.s3_settings(stack.ports["s3"]))
        fill(stack.folder / "s3" / "bucket" / "photos")
        for name in names or DRILLS:
            if name == "disk-full-10s" and os.getuid() != 0:
                print(json.dumps({"drill": name, "left_out": "only root can mount a tmpfs"}))
                continue
            result = drill(stack, name)
            print(json.dumps(result), flush=True)
            bad += bool(result["lost"] or result["twice"] or result["problems"])
            if result["ended"] not in (0, -signal.SIGKILL):
                print(stack.log("flow")[-2000:])
    return bad


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
