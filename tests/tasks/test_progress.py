from concurrent.futures import Future
from contextlib import nullcontext
from typing import Any

import pytest

from tasks import progress


class Task:
    """Stands for Prefect's future of a task that came to `outcome`."""

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome

    def result(self, **_: Any) -> Any:
        return self.outcome


@pytest.fixture
def ends_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """The task that was submitted last ends first; no server is asked."""
    monkeypatch.setattr(progress, "as_completed", lambda futures: futures[::-1])
    monkeypatch.setattr(progress, "create_progress_artifact", lambda **_: Future())
    monkeypatch.setattr(progress, "update_progress_artifact", lambda *_, **__: None)


@pytest.mark.usefixtures("ends_backwards")
def test_results_come_in_the_order_of_submission(monkeypatch: pytest.MonkeyPatch):
    first, failed, last = Task("first"), Task(ValueError("no")), Task("last")
    told = []

    class Watched:
        def finish(self, *units_and_remark: Any) -> None:
            told.append(units_and_remark)

    monkeypatch.setattr(progress, "counting", lambda *_: nullcontext(Watched()))
    results, errors = progress.gather("trying", {first: 1, failed: 1, last: 2}, lost=len)

    assert results == ["first", "last"]
    assert [str(error) for error in errors] == ["no"]
    assert told == [
        (2, "4 could not be used"),
        (1, "1 failed, 4 could not be used"),
        (1, "1 failed, 9 could not be used"),
    ]
