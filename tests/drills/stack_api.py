"""What a Prefect server tells, asked as its UI asks."""

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@contextmanager
def scheduled_soon(api: httpx.Client, deployment: dict[str, Any]) -> Iterator[None]:
    """Run a deployment every minute for a while."""
    soon = {"cron": "* * * * *", "timezone": "UTC"}
    schedules = f"deployments/{deployment['id']}/schedules"
    created = api.post(schedules, json=[{"schedule": soon, "active": True}])
    assert created.status_code == 201, created.text
    yield
    ended = api.delete(f"{schedules}/{created.json()[0]['id']}")
    assert ended.status_code == 204, ended.text


def start(api: httpx.Client, deployment: dict[str, Any], **parameters: Any) -> None:
    given = {"parameters": parameters}
    created = api.post(f"deployments/{deployment['id']}/create_flow_run", json=given)
    assert created.status_code == 201, created.text


def first_run(api: httpx.Client, deployment: dict[str, Any], seconds: float = 420) -> Any:
    """The deployment's first run, once it has ended."""
    wanted = {
        "deployments": {"id": {"any_": [deployment["id"]]}},
        "sort": "EXPECTED_START_TIME_ASC",
    }
    deadline = time.monotonic() + seconds
    runs: list[dict[str, Any]] = []
    while time.monotonic() < deadline:
        runs = api.post("flow_runs/filter", json=wanted).json()
        if runs and runs[0]["state_type"] in ENDED:
            return runs[0]
        time.sleep(1)
    raise AssertionError(f"no run ended: {[(run['name'], run['state_name']) for run in runs]}")


def everything_the_server_knows(api: httpx.Client) -> str:
    texts = []
    for what in ("flow_runs", "task_runs", "artifacts", "logs", "deployments", "flows"):
        offset = 0
        while page := api.post(f"{what}/filter", json={"limit": 200, "offset": offset}).json():
            texts.append(json.dumps(page))
            offset += len(page)
    events = api.post("events/filter", json={"limit": 50}).json()
    while events["events"]:
        texts.append(json.dumps(events["events"]))
        if events["next_page"] is None:
            break
        events = api.get(events["next_page"]).json()
    return "".join(texts)


def screenshot(url: str, path: Path) -> bool:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        return False
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1400,1400"]
    wait = ["--virtual-time-budget=20000", f"--screenshot={path}"]
    subprocess.run([chromium, *options, *wait, url], capture_output=True, timeout=90, check=False)
    return path.exists()


@contextmanager
def webhook() -> Iterator[tuple[str, list[str]]]:
    """URL of a server that takes what is posted to it, and the bodies so far."""
    bodies: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", bodies
    finally:
        server.shutdown()
        server.server_close()
