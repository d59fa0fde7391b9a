"""A run whose parts die: `python tests/drills/orchestration.py [DRILL ...]` prints what was lost.

Real servers on loopback (PostgreSQL, Prefect, Dask scheduler and two workers, S3). Each drill
extracts small images from the bucket into a store of its own with `patchflow extract`, does harm
when the first partitions are committed, and runs the command again where the run itself failed.
Then every image must be there once, and `verify` finds nothing.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import local_servers
import local_stack
import numpy as np
from PIL import Image

from storage.descriptors import DescriptorStore
from storage.verify import verify

IMAGES = 120
OPTIONS = (
    "--model test_vit --weights random --layer 3 --facet key --size 96 --stride 4 --batch 1 "
    "--precision float32 --partition-size 6"
)
Harm = Callable[[local_stack.Stack, "subprocess.Popen[bytes]"], None]


def kill_flow(stack: local_stack.Stack, run: "subprocess.Popen[bytes]") -> None:
    run.kill()


def kill_dask_worker(stack: local_stack.Stack, run: "subprocess.Popen[bytes]") -> None:
    stack.kill("dask-0")
    time.sleep(5)
    stack.start_dask_worker(0)


def hang_dask_worker(stack: local_stack.Stack, run: "subprocess.Popen[bytes]") -> None:
    """Longer than the scheduler waits for a sign of life."""
    stack.kill("dask-0", signal.SIGSTOP)
    time.sleep(40)
    stack.kill("dask-0", signal.SIGCONT)


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


DRILLS: dict[str, Harm] = {
    "flow-process-killed": kill_flow,
    "dask-worker-killed": kill_dask_worker,
    "dask-worker-hangs": hang_dask_worker,
    "dask-scheduler-killed": kill_scheduler,
    "s3-down-10s": stop_s3,
    "prefect-down-10s": stop_prefect,
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


def drill(stack: local_stack.Stack, name: str, limit: float = 300) -> dict[str, object]:
    """Do one drill; `ended` is the first run's exit status, None where it had to be killed."""
    store = f"s3://bucket/{name}"
    commits = stack.folder / "s3/bucket" / name / "commits"
    began = time.monotonic()
    run = start(stack, store)
    while run.poll() is None and len(list(commits.glob("*"))) < 3:
        time.sleep(0.02)
        if time.monotonic() > began + limit:
            break
    at = len(list(commits.glob("*")))
    DRILLS[name](stack, run)
    ended: int | None = None
    try:
        ended = run.wait(timeout=limit)
    except subprocess.TimeoutExpired:
        run.kill()
        run.wait()
    again = 0
    while ended != 0 and len(list(commits.glob("*"))) < IMAGES // 6 and again < 2:
        again += 1
        start(stack, store).wait(timeout=limit)
    seconds = round(time.monotonic() - began, 1)
    opened = DescriptorStore.open(store)
    index = opened.index()
    rows = sum(partition.count for partition in opened.partitions())
    return {
        "drill": name,
        "committed_before": at,
        "first_run": ended,
        "runs_after": again,
        "lost": IMAGES - len(index),
        "twice": rows - len(index),
        "problems": len(verify(opened).problems),
        "seconds": seconds,
    }


def main(names: list[str]) -> int:
    bad = 0
    with local_stack.whole_stack(deployed=False, ttl="30s") as stack:
        local_servers.configure("s3", local_servers.s3_settings(stack.ports["s3"]))
        fill(stack.folder / "s3" / "bucket" / "photos")
        for name in names or DRILLS:
            result = drill(stack, name)
            print(json.dumps(result), flush=True)
            bad += bool(result["lost"] or result["twice"] or result["problems"])
            if (
                result["first_run"] not in (0, -signal.SIGKILL)
                and "PATCHFLOW_VERBOSE" in os.environ
            ):
                print(stack.log("flow")[-2000:])
    return bad


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
