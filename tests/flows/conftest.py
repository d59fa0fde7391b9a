"""One Prefect server for all tests of flows, pictures to feed them, a tiny model."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from random_photos import write_photo

# Read when Prefect is imported: telemetry would log tracebacks on a busy SQLite.
os.environ["DO_NOT_TRACK"] = "1"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[str]:
    """A Prefect API of our own for the session; child processes find it too."""
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        url = str(PREFECT_API_URL.value())
        os.environ["PREFECT_API_URL"] = url
        yield url
        os.environ.pop("PREFECT_API_URL", None)


@pytest.fixture(autouse=True)
def _interrupts_stay_pytests() -> Iterator[None]:
    """The command takes over Ctrl-C; a test gives it back."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Seven pictures of three sizes, in two folders."""
    folder = tmp_path / "photos"
    sizes = [(96, 64), (64, 96), (96, 64), (80, 80), (64, 96), (96, 64), (80, 80)]
    for i, (width, height) in enumerate(sizes):
        write_photo(folder / ("cats" if i % 2 else "dogs") / f"{i}.png", i, width, height)
    return folder
