"""Where a flow's tasks run: threads, a local Dask cluster, a scheduler, or a cluster file."""

import contextlib
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click
import dask
import yaml
from prefect import Flow, get_run_logger
from prefect.context import FlowRunContext
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from prefect_dask import DaskTaskRunner

from tasks.config import ExtractConfig

P = ParamSpec("P")
R = TypeVar("R")

# Dask listens on every interface unless it is told not to, and warns where another cluster has the
# port that it likes best.
_LOOPBACK = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
# A worker is handed what it can do at once. All that it holds when it dies is suspected: Dask's own
# setting, a little more, gives up innocent tasks beside the one that kills workers. Whoever sets
# DASK_DISTRIBUTED__SCHEDULER__WORKER_SATURATION has that.
dask.config.update_defaults({"distributed": {"scheduler": {"worker-saturation": 1.0}}})
_SCHEMES = ("tcp://", "tls://", "ws://", "wss://")
_CLUSTER_KEYS = {"cluster_class", "cluster_kwargs", "adapt_kwargs", "client_kwargs", "address"}


class DaskRunner(DaskTaskRunner):  # type: ignore[misc] # prefect-dask has no types
    """Prefect's runner on Dask; tasks that are told to use a GPU wait for a worker's free one."""

    _looked_for_workers = False

    def submit(self, task: Any, parameters: dict[str, Any], *given: Any, **named: Any) -> Any:
        """Hand `task` to the scheduler, with the resources that its settings ask for."""
        if not self._looked_for_workers:
            self._looked_for_workers = True
            self._say_if_nobody_works()
        asks = self._asks(parameters)
        with dask.annotate(resources=asks) if asks else contextlib.nullcontext():
            return super().submit(task, parameters, *given, **named)

    def _asks(self, parameters: Mapping[str, Any]) -> dict[str, int]:
        on_gpu = any(
            isinstance(value, ExtractConfig) and value.device.startswith("cuda")
            for value in parameters.values()
        )
        # Where no worker has declared GPUs, a task that asks for one would wait for ever.
        return {"GPU": 1} if on_gpu and self._offers("GPU") else {}

    def _offers(self, resource: str) -> bool:
        return any(w.get("resources", {}).get(resource, 0) > 0 for w in self._workers())

    def _workers(self) -> Collection[Mapping[str, Any]]:
        found: Mapping[str, Mapping[str, Any]] = self.client.scheduler_info(n_workers=-1)["workers"]
        return found.values()

    def _say_if_nobody_works(self) -> None:
        """To whoever waits at a terminal, and in the run's log."""
        if self._workers():
            return
        scheduler = self.client.scheduler.address
        line = f"no worker has joined {scheduler} yet; tasks wait for one (dask worker {scheduler})"
        click.echo(line, err=True)
        get_run_logger().warning(line)


def make_runner(spec: str = "threads") -> TaskRunner[Any]:
    """The task runner that `spec` names.

    Args:
        spec: ``threads`` (this process; two tasks overlap reading with computing), ``dask`` (a
            local cluster, one single-threaded worker a core), an address such as
            ``tcp://host:8786``, or a YAML file with the arguments of a
            ``prefect_dask.DaskTaskRunner`` (see deployments/clusters/).

    Raises:
        ValueError: none of these, or a file with other keys.
    """
    if spec == "threads":
        return ThreadPoolTaskRunner(max_workers=2)
    if spec == "dask":
        cores = os.cpu_count() or 1
        cluster = {"n_workers": cores, "threads_per_worker": 1, "processes": True, **_LOOPBACK}
        return DaskRunner(cluster_kwargs=cluster)
    if spec.startswith(_SCHEMES):
        return DaskRunner(address=spec)
    if spec.endswith((".yaml", ".yml")):
        return DaskRunner(**_read_cluster_file(Path(spec)))
    raise ValueError(
        f"runner must be threads, dask, a scheduler address (tcp://host:port) or a .yaml file; "
        f"got {spec!r}"
    )


def default_runner() -> TaskRunner[Any]:
    """What ``PATCHFLOW_RUNNER`` names, for flows that a worker starts; threads by default."""
    return make_runner(os.environ.get("PATCHFLOW_RUNNER", "threads"))


def subflow(inner: Flow[P, R]) -> Flow[P, R]:
    """`inner` on the task runner of the flow that calls it.

    Prefect would give a subflow its own: another Dask cluster, or a thread for every task.
    """
    outer = FlowRunContext.get()
    if outer is None:
        return inner
    if isinstance(outer.task_runner, DaskTaskRunner):
        client = outer.task_runner.client
        known = {**outer.task_runner.client_kwargs, "security": client.security}
        runner = DaskRunner(address=client.scheduler.address, client_kwargs=known)
        return inner.with_options(task_runner=runner)
    return inner.with_options(task_runner=outer.task_runner.duplicate())


def _read_cluster_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"no cluster file at {path}; see deployments/clusters/ for examples")
    settings = yaml.safe_load(path.read_text())
    if not isinstance(settings, dict) or not settings.keys() <= _CLUSTER_KEYS:
        came = sorted(settings) if isinstance(settings, dict) else type(settings).__name__
        raise ValueError(f"{path}: expected a mapping of {sorted(_CLUSTER_KEYS)}; got {came}")
    return settings
