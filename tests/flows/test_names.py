"""Runs are named by what they do, the data and the model."""

import pickle

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.context import get_run_context

from flows.names import RunName
from tasks.config import ExtractConfig


@flow(name="named", flow_run_name=RunName("find {images} in {out} with {config.model}"))
def named(images: str, out: str, config: ExtractConfig, hits: int = 3) -> str:
    """Id of the run."""
    assert hits
    return str(get_run_context().flow_run.id)  # type: ignore[union-attr]


@pytest.mark.usefixtures("prefect_server")
def test_places_are_named_by_their_last_part() -> None:
    run = named("s3://bucket/photos/", "out", ExtractConfig(model="test_vit"))
    with get_client(sync_client=True) as client:
        assert client.read_flow_run(run).name == "find photos in out with test_vit"


def test_a_name_travels_with_its_flow() -> None:
    name = RunName("cluster {store}")
    assert pickle.loads(pickle.dumps(name)) == name  # noqa: S301 - made here
