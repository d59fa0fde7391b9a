"""A deployed run is cancelled from its page and resumed there, with what it had committed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import local_stack
import psutil
import pytest
from random_photos import write_photo

from storage.descriptors import DescriptorStore
from storage.verify import verify

IMAGES, PARTITION = 120, 4
# Slow enough that a run is caught in the middle.
SETTINGS = {
    "model": "test_vit",
    "weights": "random",
    "layer": 3,
    "facet": "key",
    "size": 96,
    "stride": 4,
    "batch": 1,
    "precision": "float32",
    "partition_size": PARTITION,
}
# What the page's buttons send.
CANCEL = {"state": {"type": "CANCELLING", "name": "Cancelling"}, "force": True}
RETRY = {
    "state": {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"},
    "force": False,
}
POOL = "cancelled"


@pytest.fixture
def api(prefect_server: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=prefect_server + "/", timeout=30) as client:
        yield client


@pytest.fixture
def worker(api: httpx.Client, tmp_path: Path, runner: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker of a pool, and the deployments of prefect.yaml on it."""
    env = os.environ | {
        "PREFECT_API_URL": str(api.base_url).rstrip("/"),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PATCHFLOW_HOME": str(local_stack.ROOT),
        "PATCHFLOW_POOL": POOL,
        "PATCHFLOW_RUNNER": runner,
        "PATCHFLOW_IMAGES": str(tmp_path / "photos"),
        "PATCHFLOW_STORE": str(tmp_path / "store"),
        "PATCHFLOW_OUT": str(tmp_path / "out"),
        "PATCHFLOW_PIPELINE": str(tmp_path / "pipeline.yaml"),
        "PYTHONPATH": str(local_stack.ROOT),
    }
    prefect = [sys.executable, "-m", "prefect", "--no-prompt"]
    named = ["deploy", "--prefect-file", "deployments/prefect.yaml", "--name", "incremental"]
    with (tmp_path / "worker.log").open("wb") as log:
        output: Any = {"cwd": local_stack.ROOT, "env": env, "stdout": log, "stderr": log}
        pool = ["work-pool", "create", POOL, "--type", "process", "--overwrite"]
        subprocess.run([*prefect, *pool], check=True, timeout=120, **output)
        subprocess.run([*prefect, *named], check=True, timeout=120, **output)
        process = subprocess.Popen([*prefect, "worker", "start", "--pool", POOL], **output)
        yield process
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def await_that(ready: Callable[[], bool], what: str, log: Path) -> None:
    deadline = time.monotonic() + 120
    while not ready():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within 120 s\n{log.read_text()[-4000:]}")
        time.sleep(0.05)


def processes_of(run: str) -> list[str]:
    """Command lines of whatever works for a run: its own process, and Dask's children of it."""
    wanted, found = run.replace("-", ""), []
    for process in psutil.process_iter():
        try:
            if process.environ().get("PREFECT__FLOW_RUN_ID", "").replace("-", "") == wanted:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


@pytest.mark.servers
@pytest.mark.skipif(
    "PATCHFLOW_WHOLE_STACK" not in os.environ,
    reason="takes minutes: set PATCHFLOW_WHOLE_STACK=1 to start a worker and its runs",
)
@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("runner", ["threads", "dask"])
def test_a_run_is_cancelled_and_resumed(api: httpx.Client, tmp_path: Path) -> None:
    for number in range(IMAGES):
        write_photo(tmp_path / "photos" / f"{number:03}.png", number)
    commits, log = tmp_path / "store" / "commits", tmp_path / "worker.log"
    deployment = api.get("deployments/name/extract/incremental").json()["id"]
    given = {"parameters": {"config": SETTINGS}}
    run = api.post(f"deployments/{deployment}/create_flow_run", json=given).json()["id"]

    def state() -> str:
        return str(api.get(f"flow_runs/{run}").json()["state"]["name"])

    def committed() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in commits.glob("*.json")}

    await_that(lambda: len(committed()) >= 2, "the first commits", log)
    assert processes_of(run)
    assert api.post(f"flow_runs/{run}/set_state", json=CANCEL).json()["status"] == "ACCEPT"
    await_that(lambda: state() == "Cancelled", "cancelled", log)
    await_that(lambda: processes_of(run) == [], "no process is left", log)
    before = committed()
    assert 2 <= len(before) < IMAGES // PARTITION

    assert api.post(f"flow_runs/{run}/set_state", json=RETRY).json()["status"] == "ACCEPT"
    await_that(lambda: state() == "Completed", "resumed", log)
    after = committed()
    assert len(after) == IMAGES // PARTITION
    assert {name: after[name] for name in before} == before
    stored = DescriptorStore.open(str(tmp_path / "store"))
    assert (len(stored.index()), verify(stored).problems) == (IMAGES, ())
    wanted = {"artifacts": {"flow_run_id": {"any_": [run]}, "key": {"any_": ["extraction"]}}}
    (page,) = api.post("artifacts/filter", json=wanted).json()
    done = len(before) * PARTITION
    assert f"{IMAGES - done} images stored, {done} were already" in page["data"]
