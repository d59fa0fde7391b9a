"""What is started listens on loopback: by us, and by whoever types what the pages say."""

import re

import psutil
import pytest
from distributed import LocalCluster
from local_stack import ROOT

from flows.runner import DaskRunner, make_runner

CLUSTERS = ("local", "adaptive", "gpu-shared")


def listening() -> set[tuple[str, int]]:
    """Addresses of this process."""
    sockets = psutil.Process().net_connections(kind="inet")
    return {tuple(s.laddr) for s in sockets if s.status == psutil.CONN_LISTEN}


@pytest.mark.parametrize("spec", ["dask", *(f"deployments/clusters/{n}.yaml" for n in CLUSTERS)])
def test_a_local_cluster_is_not_reached_from_other_machines(spec: str) -> None:
    runner = make_runner(str(ROOT / spec) if "/" in spec else spec)
    assert isinstance(runner, DaskRunner)
    # Threads of this process, with addresses as the processes would have them.
    here = {"n_workers": 1, "processes": False, "protocol": "tcp"}
    before = listening()
    with LocalCluster(**runner.cluster_kwargs | here):
        opened = listening() - before
    # The scheduler, its pages, a worker and its pages.
    assert len(opened) >= 4
    assert {ip for ip, _ in opened} == {"127.0.0.1"}


@pytest.mark.parametrize("page", ["README.md", "deployments/README.md"])
def test_commands_of_the_pages_keep_dask_on_loopback(page: str) -> None:
    """`--host` is not enough: Dask's pages have an address of their own, on every interface."""
    text = " ".join((ROOT / page).read_text().replace("\\\n", " ").split())
    commands = re.findall(r"dask scheduler --host 127.*?--no-dashboard", text)
    commands += re.findall(r"dask worker tcp://127.*?--no-dashboard", text)
    assert len(commands) >= 2
    for command in commands:
        assert "--host 127.0.0.1" in command
        assert "--dashboard-address 127.0.0.1:" in command, command
