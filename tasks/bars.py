"""What a terminal shows of work that is going on; quiet unless somebody watches.

Logs and pipes get the closing line only. Work that takes long says `advance` while it goes on, so
that the bar of its flow moves before the task ends; on a worker of another process that is lost,
and the bar moves task by task.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _Rate(ProgressColumn):
    """Units a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f}/s")


class Line:
    """One bar. done: units of tasks that have ended; ahead: units that work in this process has
    done so far, of ended tasks or not. The larger of the two is shown.
    """

    def __init__(self, bar: Progress, what: str, total: int, inside: str | None) -> None:
        self._bar = bar
        self._inside = inside
        self._remark = ""
        self._lock = threading.Lock()
        self._id = bar.add_task(what, total=total, remark="")
        self._total, self.done, self.ahead = total, 0, 0

    @property
    def shown(self) -> int:
        """Units that the bar stands at."""
        return self.done if self._inside else min(self._total, max(self.done, self.ahead))

    def finish(self, units: int, remark: str = "") -> None:
        """A task of so many units has ended."""
        with self._lock:
            self.done += units
            self._remark = remark
            self._show()

    def advance(self, units: int) -> None:
        """So many units were done inside of a task."""
        with self._lock:
            self.ahead += units
            self._show()

    def _show(self) -> None:
        inside = f"{self.ahead:,} {self._inside}" if self._inside and self.ahead else ""
        remark = " ".join(filter(None, (inside, self._remark)))
        self._bar.update(self._id, completed=self.shown, remark=remark)


_current: Line | None = None


@contextmanager
def counting(what: str, total: int, inside: str | None = None) -> Iterator[Line]:
    """A bar with rate, remaining time and a remark.

    Args:
        what: the verb and noun shown, e.g. "extracting images".
        total: units of all tasks together.
        inside: what work advances by, where that is not these units, e.g. "frames" of videos.
    """
    global _current  # noqa: PLW0603 - work in other threads finds the bar by it
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        _Rate(),
        TextColumn("{task.fields[remark]}"),
    )
    before = _current
    with _progress(*columns) as bar:
        _current = Line(bar, what, total, inside)
        try:
            yield _current
        finally:
            _current = before


def advance(units: int = 1) -> None:
    """Say from inside of a task that so many units of its work are done."""
    line = _current
    if line is not None:
        line.advance(units)


@contextmanager
def working(what: str) -> Iterator[None]:
    """A spinner with the time, for a step that cannot say how far it is; gone at its end."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with _progress(*columns, transient=True) as bar:
        bar.add_task(what, total=None)
        yield


def _progress(*columns: ProgressColumn, transient: bool = False) -> Progress:
    console = Console(stderr=True)
    watched = console.is_terminal and sys.stderr.isatty()
    return Progress(*columns, console=console, transient=transient, disable=not watched)
