"""Many pairs of images: one task for a block of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from prefect import Task
from prefect.futures import PrefectFuture

from tasks.progress import raise_failed

P = TypeVar("P")
R = TypeVar("R")


def submit_blocks(
    work: Task[..., R],
    pairs: Sequence[P],
    size: int,
    arguments: Callable[[int, tuple[P, ...]], tuple[Any, ...]],
) -> dict[PrefectFuture[R], int]:
    """Submit `work` for each block of `size` pairs; its futures, and how many pairs each is of.

    arguments: of a block, by its number and its pairs.
    """
    futures = {}
    for number, first in enumerate(range(0, len(pairs), size)):
        block = tuple(pairs[first : first + size])
        named = work.with_options(task_run_name=f"pairs {first + 1} to {first + len(block)}")
        futures[named.submit(*arguments(number, block))] = len(block)
    return futures


def raise_blocks(
    errors: Sequence[BaseException], futures: Mapping[PrefectFuture[Any], int]
) -> None:
    """Raise the errors of the blocks that failed, once the others are done."""
    raise_failed(
        errors,
        f"{len(errors)} of {len(futures)} blocks of pairs failed; run again to do only those",
    )
