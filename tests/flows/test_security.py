"""Secrets stay where they are, names stay below OUT, nothing is unpickled from a bucket."""

import io
import json
import pkgutil
import tarfile
from importlib import import_module
from pathlib import Path
from typing import Any

import local_servers
import pytest
from prefect import Flow, Task
from prefect.client.orchestration import get_client
from prefect.settings import get_current_settings

import flows
import tasks
from flows.cosegment import cosegment
from storage.files import write_bytes
from tasks.config import CosegmentConfig

TINY = CosegmentConfig(
    model="test_vit",
    weights="random",
    layer=3,
    saliency_layer=5,
    also=(),
    facet="key",
    size=32,
    stride=16,
    precision="float32",
    refinement="none",
    rule="relative",
    pictures=False,
)
EVIL = ("../../evil.png", "/evil-of-a-test.png", "a/../../evil.png")


def shard(photos: Path) -> bytes:
    """A tar whose members would like to be written elsewhere."""
    data = io.BytesIO()
    picture = (photos / "dogs" / "0.png").read_bytes()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name in (*EVIL, "good.png"):
            member = tarfile.TarInfo(name)
            member.size = len(picture)
            archive.addfile(member, io.BytesIO(picture))
    return data.getvalue()


def all_that_the_server_knows() -> str:
    found: list[Any] = []
    with get_client(sync_client=True) as client:
        for what in ("flow_runs", "task_runs", "artifacts", "logs"):
            page: list[Any] = [None]
            while page:
                query = {"limit": 200, "offset": len(found)}
                page = client.request("POST", f"/{what}/filter", json=query).json()
                found += page
    return json.dumps(found)


@pytest.mark.servers
@pytest.mark.usefixtures("prefect_server")
def test_a_run_on_a_bucket_leaves_no_secret_and_writes_below_out_only(
    photos: Path, s3_server: local_servers.Server
) -> None:
    root = Path(s3_server.command[3])
    folder = root / "bucket" / "secure"
    # Through the server, which remembers its listings.
    write_bytes("s3://bucket/secure/in.tar", shard(photos))
    before = {path for path in root.rglob("*") if folder not in path.parents}
    summary = cosegment("s3://bucket/secure/in.tar", "s3://bucket/secure/out", TINY)
    assert summary.line
    assert list((folder / "out").rglob("masks/*.png"))
    after = {path for path in root.rglob("*") if folder not in path.parents}
    assert (after, Path(EVIL[1]).exists()) == (before, False)
    known = all_that_the_server_knows()
    assert "s3://bucket/secure/out" in known
    assert local_servers.SECRET not in known
    written = [path for path in folder.rglob("*") if path.is_file()]
    assert len(written) > 5
    secret = local_servers.SECRET.encode()
    assert [path for path in written if secret in path.read_bytes()] == []


def test_results_are_never_pickled_into_a_bucket() -> None:
    """Prefect would read them again as code: results are files of ours, and their URLs."""
    settings = get_current_settings().results
    assert not settings.persist_by_default
    persisting = [
        f"{module.name}.{name}"
        for package in (tasks, flows)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        for name, found in vars(import_module(module.name)).items()
        if isinstance(found, Task | Flow) and found.persist_result
    ]
    assert persisting == []
