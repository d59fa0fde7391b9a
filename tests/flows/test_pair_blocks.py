"""Pairs in blocks: each once, in order, under names that say which they are."""

from typing import Any

import pytest

from flows.pair_blocks import raise_blocks, submit_blocks


class Recorder:
    """Stands for a task: what it was submitted with, under which name."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.name = ""

    def with_options(self, *, task_run_name: str) -> "Recorder":
        self.name = task_run_name
        return self

    def submit(self, *arguments: Any) -> object:
        self.calls.append((self.name, arguments))
        return object()


def test_every_pair_is_in_one_block() -> None:
    work = Recorder()
    futures = submit_blocks(work, "abcde", 2, lambda number, block: ("store", number, block))
    assert list(futures.values()) == [2, 2, 1]
    assert work.calls == [
        ("pairs 1 to 2", ("store", 0, ("a", "b"))),
        ("pairs 3 to 4", ("store", 1, ("c", "d"))),
        ("pairs 5 to 5", ("store", 2, ("e",))),
    ]
    assert submit_blocks(work, (), 2, lambda *_: ()) == {}


def test_failed_blocks_are_counted() -> None:
    futures: dict[Any, int] = {object(): 2, object(): 1}
    raise_blocks([], futures)
    with pytest.raises(ExceptionGroup, match="1 of 2 blocks of pairs failed; run again to do only"):
        raise_blocks([ValueError("x")], futures)
