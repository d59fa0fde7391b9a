"""The stages of an extraction: overlapped, accounted for, and the slowest named."""

import threading
import time
from collections.abc import Iterator

import pytest

from tasks.overlap import ahead
from tasks.stages import Clock, Occupancy, PartitionReport, StageSeconds, occupancy


def test_items_come_in_order_and_no_more_are_made_than_fit() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(10):
            made.append(number)
            yield number

    taken = ahead(items(), 2)
    assert next(taken) == 0
    time.sleep(0.05)
    assert len(made) <= 4  # the one taken, two that wait, one in hand
    assert list(taken) == list(range(1, 10))


def test_what_goes_wrong_in_the_thread_is_raised_here() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the bucket is gone")

    taken = ahead(items(), 1)
    assert next(taken) == 1
    with pytest.raises(OSError, match="the bucket is gone"):
        next(taken)


def test_a_consumer_that_stops_ends_the_thread() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    before = threading.active_count()
    taken = ahead(items(), 1)
    next(taken)
    taken.close()  # type: ignore[attr-defined]
    assert closed.is_set()
    assert threading.active_count() == before


def report(worker: str, began: float, ended: float, **stages: float) -> PartitionReport:
    return PartitionReport(
        f"{worker}{began}",
        stored=1,
        failed=0,
        reasons=(),
        bytes=1,
        seconds=ended - began,
        began=Clock(began, began),
        ended=Clock(ended, began + (ended - began) / 2),
        worker=worker,
        cores=2,
        stages=StageSeconds(**stages, readers=4),  # type: ignore[arg-type]
    )


def test_occupancy_by_hand() -> None:
    # Two partitions at once in one process for 10 s; another process for 10 s.
    reports = [
        report("one:1", 0, 10, fetch=4, decode=8, compute=5, write=4),
        report("one:1", 0, 10, fetch=4, decode=8, compute=3, write=2),
        report("one:2", 0, 10, fetch=8, decode=8, compute=4, write=3),
    ]
    found = occupancy(reports)
    # 20 worker seconds, 80 reader seconds, 30 seconds of partitions; two processes that
    # used 5 seconds each share the 20 core seconds of one host.
    assert found == Occupancy(compute=0.6, fetch=0.2, decode=0.3, write=0.3, processor=0.5)
    assert found.slowest == "compute"
    assert found.line.startswith("slowest stage: compute (busy: compute 60 %, fetch 20 %")
    assert occupancy([]) is None


@pytest.mark.parametrize(
    ("shares", "slowest"),
    [
        ((0.9, 0.1, 0.1, 0.2, 1.0), "compute"),
        ((0.3, 0.6, 0.3, 0.2, 0.4), "fetch"),
        ((0.3, 0.3, 0.6, 0.2, 0.4), "decode"),
        ((0.3, 0.1, 0.1, 0.8, 0.4), "write"),
        ((0.3, 0.3, 0.6, 0.2, 0.95), "processor"),
    ],
)
def test_the_slowest_stage_is_what_to_buy(shares: tuple[float, ...], slowest: str) -> None:
    assert Occupancy(*shares).slowest == slowest


def test_one_process_that_leaves_cores_idle_is_told_of_more() -> None:
    one = occupancy([report("one:1", 0, 10, write=9)])
    assert one is not None
    # 5 of the 20 core seconds were used.
    assert (one.slowest, one.processor, one.idle_cores) == ("write", 0.25, 1)
    assert "--runner dask" not in one.line
    assert one._replace(idle_cores=12).line.endswith("try --runner dask")
    assert "--runner" not in one._replace(idle_cores=12, compute=0.95).line
