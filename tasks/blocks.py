"""Many small jobs inside one task: on the Dask cluster that the task runs on, else on threads."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import dask
from distributed import get_worker, worker_client

R = TypeVar("R")
_THREADS = 2


def run_blocks(function: Callable[..., R], jobs: Sequence[tuple[Any, ...]]) -> list[R]:
    """`function` on every job's arguments, results in the jobs' order.

    On the Dask cluster that this task runs on, whose scheduler gives a dead worker's jobs to
    another; else on this process's threads.
    """
    delayed = [dask.delayed(function, pure=False)(*job) for job in jobs]
    try:
        get_worker()
    except ValueError:
        return list(dask.compute(*delayed, scheduler="threads", num_workers=_THREADS))
    with worker_client() as client:
        return list(client.gather(client.compute(delayed)))
