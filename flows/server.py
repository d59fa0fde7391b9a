"""A Prefect server for the length of one command, where the user runs none.

Prefect would start one itself, but one for each process that asks (Dask workers ask too), and
a killed run would leave it behind. This one is shared through ``PREFECT_API_URL`` and ends with
the process that started it, however that ends: it watches its standard input for the end.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

START_SECONDS = 180
_QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_UI_ENABLED": "false",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
    # Schedules and late runs are the business of a server that stays.
    "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_ENABLED": "false",
    "PREFECT_LOGGING_SERVER_LEVEL": "ERROR",
}


@contextlib.contextmanager
def prefect_api(meanwhile: Callable[[], object] = lambda: None) -> Iterator[str]:
    """Yield the URL of a Prefect API: the user's own, or a server that ends with this process.

    Args:
        meanwhile: called while the server starts, e.g. to import what takes as long.

    Raises:
        RuntimeError: the server did not come up; the message holds the end of its log.
    """
    from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

    configured = PREFECT_API_URL.value()
    if configured:
        meanwhile()
        yield str(configured)
        return
    log = Path(get_current_settings().home) / "patchflow-server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output, socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(128)
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "flows.server", str(sock.fileno())],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=[sock.fileno()],
            env=os.environ | _QUIET,
        )
        url = f"http://127.0.0.1:{sock.getsockname()[1]}/api"
    try:
        meanwhile()
        _await_health(url, process, log)
        # Dask workers inherit the environment, this process's settings are read already.
        os.environ["PREFECT_API_URL"] = url
        with temporary_settings({PREFECT_API_URL: url}):
            yield url
    finally:
        os.environ.pop("PREFECT_API_URL", None)
        _flush()
        _stop(process)


def _flush() -> None:
    """Send what Prefect still holds back, or it would wait at exit for a server that is gone."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=10)


def _await_health(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with (
            contextlib.suppress(urllib.error.URLError, OSError),
            urllib.request.urlopen(f"{url}/health", timeout=5) as reply,  # noqa: S310
        ):
            if reply.status == 200:
                return
        time.sleep(0.1)
    _stop(process)
    tail = log.read_text(errors="replace")[-2000:]
    raise RuntimeError(
        f"the temporary Prefect server did not start within {START_SECONDS} s; set "
        f"PREFECT_API_URL to use a server of your own. The end of its log:\n{tail}"
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def serve(descriptor: int) -> None:
    """Serve Prefect's API on an open socket until standard input ends."""
    import uvicorn
    from prefect.server.api.server import create_app

    def watch() -> None:
        sys.stdin.buffer.read()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    # Given the number alone, uvicorn takes the socket for a Unix one and leaves Nagle's algorithm
    # on: each answer would wait 40 ms for the client's acknowledgement.
    config = uvicorn.Config(create_app(), log_level="error")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    serve(int(sys.argv[1]))
