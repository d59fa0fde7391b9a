"""Places where a store can lie, each a folder of its own for every test."""

import gc
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import local_servers
import pytest

_PROTOCOLS = {"s3": "s3", "azure": "abfs", "gcs": "gs"}


@pytest.fixture(scope="session")
def azure_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local_servers.Server]:
    """A real Azure blob server; abfs://bucket/ is writable, fsspec is configured for it."""
    if local_servers.azurite_binary() is None:
        pytest.skip("needs azurite (npm install -g azurite, or PATCHFLOW_AZURITE=its path)")
    pytest.importorskip("adlfs", reason="needs the extra azure")
    server = local_servers.azure_server(tmp_path_factory.mktemp("azure"))
    server.start()
    local_servers.configure("abfs", local_servers.azure_settings(server.port))
    fsspec.filesystem("abfs").mkdir("bucket")
    yield server
    local_servers.forget("abfs")
    # Instances close their connections when they are collected; at the exit it is too late.
    type(fsspec.filesystem("abfs", account_name="x")).clear_instance_cache()
    gc.collect()
    server.stop()


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[local_servers.Server]:
    """An emulator of Google's storage; gs://bucket/ is writable, fsspec is configured for it."""
    if local_servers.gcs_emulator() is None:
        pytest.skip("needs gcp-storage-emulator (pip install, or PATCHFLOW_GCS_EMULATOR=its path)")
    # Asking what kind of bucket it is goes by gRPC, which the emulator does not speak.
    os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
    pytest.importorskip("gcsfs", reason="needs the extra gcs")
    server = local_servers.gcs_server()
    server.start()
    local_servers.configure("gs", local_servers.gcs_settings(server.port))
    yield server
    local_servers.forget("gs")
    server.stop()


@pytest.fixture(params=["memory", "local", "s3", "azure", "gcs"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty folder in memory, on disk, in a bucket of S3, Azure or Google."""
    if request.param == "local":
        return str(tmp_path)
    name = uuid.uuid4().hex
    if request.param == "memory":
        return f"memory://{name}"
    request.getfixturevalue(f"{request.param}_server")
    return f"{_PROTOCOLS[request.param]}://bucket/{name}"
