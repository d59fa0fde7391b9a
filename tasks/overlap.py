"""A stage of a pipeline that works while the next one does."""

import queue
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class _End:
    error: BaseException | None


class _Maker(threading.Thread, Generic[T]):
    def __init__(self, items: Iterator[T], depth: int) -> None:
        super().__init__(daemon=True)
        self.made: queue.Queue[T | _End] = queue.Queue(depth)
        self.stopped = threading.Event()
        self._items = items

    def run(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._items:
                if not self._put(item):
                    break
        except BaseException as raised:  # noqa: BLE001 - the consumer raises it again
            error = raised
        if isinstance(self._items, Generator):
            self._items.close()
        self._put(_End(error))

    def _put(self, item: T | _End) -> bool:
        while not self.stopped.is_set():
            try:
                self.made.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False


def ahead(items: Iterator[T], depth: int) -> Iterator[T]:
    """`items`, made by a thread of its own, at most `depth` of them before they are asked for.

    What goes wrong there is raised here. A consumer that stops early stops the thread.
    """
    maker = _Maker(items, depth)
    maker.start()
    try:
        while True:
            item = maker.made.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
            del item  # what was handled is not held while the next one is waited for
    finally:
        maker.stopped.set()
        maker.join()
