"""Steps of a video's work that overlap: what is produced ahead, and what is finished behind."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

T = TypeVar("T")


def ahead(items: Iterable[T], depth: int) -> Generator[T]:
    """The same items in the same order, made in a thread, at most `depth` of them waiting."""
    source = iter(items)
    end: Any = object()
    pool = ThreadPoolExecutor(1)
    try:
        waiting = deque(pool.submit(next, source, end) for _ in range(depth))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(pool.submit(next, source, end))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)


class Behind(Generic[T]):
    """Work that nothing waits for, done by a few threads; its results are taken in order."""

    def __init__(self, take: Callable[[T], None], threads: int) -> None:
        """take: is given each result, in the order of the submissions, by the caller's thread."""
        self._take = take
        self._room = 2 * threads
        self._pool = ThreadPoolExecutor(threads)
        self._waiting: deque[Future[T]] = deque()

    def submit(self, work: Callable[[], T]) -> None:
        """Have `work` done; waits where too much is waiting already."""
        while len(self._waiting) >= self._room:
            self._take(self._waiting.popleft().result())
        self._waiting.append(self._pool.submit(work))

    def drain(self) -> None:
        """Return when everything is done and taken."""
        while self._waiting:
            self._take(self._waiting.popleft().result())

    def __enter__(self) -> "Behind[T]":
        return self

    def __exit__(self, *_: object) -> None:
        """Without `drain`, what has not begun is given up."""
        self._pool.shutdown(cancel_futures=True)
