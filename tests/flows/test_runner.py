"""Where tasks run, and what they ask a Dask worker for."""

from typing import Any

import dask
import pytest
from prefect import Task, task
from prefect_dask import DaskTaskRunner

from flows.runner import DaskRunner, make_runner
from tasks.config import CosegmentConfig, ExtractConfig


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
    runner.submit(compute, {"config": CosegmentConfig(device=device), "store": "s"})
    assert asked == [resources]
    assert dask.get_annotations() == {}
