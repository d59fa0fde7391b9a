"""Bars of work that goes on in other threads."""

import io
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from rich.console import Console
from rich.progress import Progress

from tasks import bars
from tasks.bars import Line, advance, counting, working


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal of 200 columns shows."""
    text = io.StringIO()

    def progress(*columns: object, transient: bool = False) -> Progress:
        console = Console(file=text, force_terminal=True, width=200, color_system=None)
        return Progress(*columns, console=console, transient=transient)  # type: ignore[arg-type]

    monkeypatch.setattr(bars, "_progress", progress)
    return text


def test_work_inside_of_tasks_moves_the_bar_before_they_end(watched: io.StringIO) -> None:
    with counting("extracting images", 10) as line:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(advance, [1, 1, 1]))
        assert line.shown == 3
        line.finish(4, "1 failed")
        assert line.shown == 4  # an image that failed has not advanced it
        line.finish(2)
        advance(50)  # of a task that was tried again
        assert line.shown == 10
    assert "extracting images" in watched.getvalue()
    assert "10/10" in watched.getvalue()


def test_other_units_are_told_beside_the_bar(watched: io.StringIO) -> None:
    with counting("propagating masks", 2, inside="frames") as line:
        advance(1200)
        assert line.shown == 0
        line.finish(1, "1 failed")
        assert line.shown == 1
    assert "1,200 frames 1 failed" in watched.getvalue()


def test_a_bar_inside_of_another_gives_way_to_it() -> None:
    lines: list[Line] = []
    with counting("sets", 4) as outer:
        with suppress(ValueError), counting("images", 9) as inner:
            lines.append(inner)
            advance()
            raise ValueError
        advance(2)
        assert (outer.ahead, lines[0].ahead) == (2, 1)
    advance()  # nobody counts: nothing happens
    assert outer.ahead == 2


def test_nothing_is_shown_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    with counting("extracting images", 3) as line:
        line.finish(3)
    with working("starting"):
        pass
    assert capsys.readouterr() == ("", "")
