"""What is submitted for DAVIS: a clip a sequence, with its first mask or without any."""

from typing import Any

import pytest

from flows import evaluate_davis
from tasks.benchmarks.davis import DavisBenchmark
from tasks.video_config import PropagateConfig

CHOSEN = DavisBenchmark("ROOT", {"bus": ("00000", "00001"), "cat": ("00003",)}, single=True)


class Recorder:
    """Stands for the task of a clip."""

    def __init__(self) -> None:
        self.jobs: list[Any] = []
        self.names: list[str] = []

    def with_options(self, *, task_run_name: str) -> "Recorder":
        self.names.append(task_run_name)
        return self

    def submit(self, job: Any, config: PropagateConfig) -> object:
        assert config == PropagateConfig()
        self.jobs.append(job)
        return object()


@pytest.mark.parametrize("given", [True, False])
def test_a_clip_is_submitted_for_every_sequence(
    monkeypatch: pytest.MonkeyPatch, given: bool
) -> None:
    work, weighed = Recorder(), []
    monkeypatch.setattr(evaluate_davis, "propagate_clip", work)
    monkeypatch.setattr(
        evaluate_davis, "gather", lambda _, futures, **__: (weighed.extend(futures.values()), [])
    )
    evaluate_davis.propagate_all(CHOSEN, "OUT", PropagateConfig(), 5, given=given)
    assert (work.names, weighed) == (["bus", "cat"], [2, 1])
    assert [(j.name, j.clip, j.folder, j.limit) for j in work.jobs] == [
        (s, f"ROOT/JPEGImages/480p/{s}", f"OUT/{s}", 5) for s in ("bus", "cat")
    ]
    masks = [f"ROOT/Annotations/480p/{s}.png" for s in ("bus/00000", "cat/00003")]
    assert [job.mask for job in work.jobs] == (masks if given else [None, None])


def test_failed_sequences_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate_davis, "propagate_clip", Recorder())
    monkeypatch.setattr(evaluate_davis, "gather", lambda *_, **__: ([], [ValueError("x")]))
    with pytest.raises(ExceptionGroup, match="1 of 2 sequences failed; run again to go on"):
        evaluate_davis.propagate_all(CHOSEN, "OUT", PropagateConfig(), None, given=True)
