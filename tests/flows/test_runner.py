"""Where tasks run, and what they ask a Dask worker for."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import KilledWorker, LocalCluster, get_worker
from local_stack import ROOT
from prefect import Task, flow, task
from prefect_dask import DaskTaskRunner

from flows.runner import DaskRunner, make_runner, subflow
from tasks.config import CosegmentConfig, ExtractConfig
from tasks.progress import gather


@task
def compute(config: ExtractConfig) -> None:
    """Never run here."""


class FakeClient:
    """A scheduler with some workers, and nothing else of a Dask client."""

    def __init__(self, *resources: dict[str, float]) -> None:
        self.workers = {f"tcp://{i}": {"resources": r} for i, r in enumerate(resources)}

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        assert n_workers == -1  # all of them
        return {"workers": self.workers}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Annotations under which tasks reach Dask."""
    seen: list[dict[str, Any]] = []

    def submit(self: DaskTaskRunner, given: Task[..., Any], parameters: dict[str, Any]) -> None:
        seen.append(dask.get_annotations().get("resources", {}))

    monkeypatch.setattr(DaskTaskRunner, "submit", submit)
    return seen


@pytest.mark.parametrize(
    ("device", "workers", "resources"),
    [
        ("cuda", [{}, {"GPU": 1}], {"GPU": 1}),
        ("cuda:1", [{"GPU": 2}], {"GPU": 1}),
        ("auto", [{"GPU": 1}], {}),
        ("cpu", [{"GPU": 1}], {}),
        # Nobody offers one: to ask would be to wait for ever.
        ("cuda", [{}, {"MEMORY": 1}], {}),
        ("cuda", [], {}),
    ],
)
def test_tasks_on_a_gpu_ask_for_one_where_workers_offer_them(
    asked: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    workers: list[dict[str, float]],
    resources: dict[str, int],
) -> None:
    monkeypatch.setattr(DaskTaskRunner, "client", FakeClient(*workers))
    runner = make_runner("tcp://127.0.0.1:1")
    assert isinstance(runner, DaskRunner)
    monkeypatch.setattr(runner, "_looked_for_workers", True)
    runner.submit(compute, {"config": CosegmentConfig(device=device), "store": "s"})
    assert asked == [resources]
    assert dask.get_annotations() == {}


IN_PROCESS: dict[str, Any] = {
    "host": "127.0.0.1",
    "protocol": "tcp",
    "processes": False,
    "threads_per_worker": 1,
    "dashboard_address": "127.0.0.1:0",
}


@task
def who_works(config: ExtractConfig, seconds: float) -> Any:
    """Name of the worker, busy for a while."""
    time.sleep(seconds)
    return get_worker().name


@flow(name="who-works")
def who_works_here() -> Any:
    """Name of a worker."""
    return who_works.submit(ExtractConfig(), 0.0).result()


def workers_used(runner: DaskRunner, device: str, tasks: int, seconds: float) -> set[Any]:
    @flow(name="who-works", task_runner=runner)
    def ask() -> set[Any]:
        config = ExtractConfig(device=device)
        return {f.result() for f in [who_works.submit(config, seconds) for _ in range(tasks)]}

    return ask()


@pytest.mark.usefixtures("prefect_server")
def test_tasks_on_a_gpu_wait_for_a_worker_that_has_one() -> None:
    with LocalCluster(n_workers=2, **IN_PROCESS) as cluster:
        cluster.new_spec["options"]["resources"] = {"GPU": 1}
        cluster.scale(3)
        cluster.wait_for_workers(3)
        runner = DaskRunner(address=cluster.scheduler_address)
        assert workers_used(runner, "cuda", 4, 0.1) == {2}
        assert len(workers_used(runner, "cpu", 4, 0.1)) > 1


@pytest.mark.usefixtures("prefect_server")
def test_a_scheduler_without_workers_is_said_to_be_waited_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with LocalCluster(n_workers=0, **IN_PROCESS) as cluster:
        help_comes = threading.Timer(1.0, cluster.scale, [1])
        help_comes.start()
        assert workers_used(DaskRunner(address=cluster.scheduler_address), "cpu", 2, 0.0) == {0}
        help_comes.join()
        said = capsys.readouterr().err
        assert said.count(f"no worker has joined {cluster.scheduler_address} yet") == 1


@task
def add_one(number: int, gate: str) -> int:
    """Of zero it kills the process, once there is a file `gate`."""
    while number == 0:
        if Path(gate).exists():
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.05)
    return number + 1


@pytest.mark.usefixtures("prefect_server")
def test_a_task_that_kills_its_workers_fails_alone(tmp_path: Path) -> None:
    """Those that its worker holds beside it would be suspects as well."""
    processes = {**IN_PROCESS, "processes": True, "n_workers": 1}

    @flow(name="poisoned", task_runner=DaskRunner(cluster_kwargs=processes))
    def poisoned() -> tuple[list[Any], list[BaseException]]:
        gate = tmp_path / "all-are-submitted"
        futures: dict[Any, int] = {add_one.submit(i, str(gate)): 1 for i in range(6)}
        gate.touch()
        return gather("adding", futures)

    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        results, errors = poisoned()
    assert results == [2, 3, 4, 5, 6]
    assert [type(error) for error in errors] == [KilledWorker]


@pytest.mark.usefixtures("prefect_server")
def test_an_adaptive_cluster_grows_for_tasks_that_it_has_not_seen() -> None:
    runner = make_runner(str(ROOT / "deployments" / "clusters" / "adaptive.yaml"))
    assert isinstance(runner, DaskRunner)
    runner.cluster_kwargs |= IN_PROCESS
    assert runner.adapt_kwargs["maximum"] == 4
    # 0.5 s each is what Dask supposes: one worker would do, were it not told otherwise.
    assert len(workers_used(runner, "auto", 6, 3.0)) >= 3


@pytest.mark.usefixtures("prefect_server")
def test_subflows_find_a_cluster_that_encrypts() -> None:
    pytest.importorskip("cryptography")
    encrypted = IN_PROCESS | {"protocol": "tls", "security": True, "n_workers": 1}

    @flow(name="outer", task_runner=DaskRunner(cluster_kwargs=encrypted))
    def outer() -> Any:
        return subflow(who_works_here)()

    assert outer() == 0
