"""A pipeline's file, its flow, the sensor, and who is told of failures."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.orchestration import get_client

from flows.pipeline import pipeline
from flows.pipeline_jobs import flow_of, plan_jobs
from flows.sensor import sensor
from storage.descriptors import DescriptorStore
from tasks.config import CosegmentConfig, ExtractConfig
from tasks.pipeline_file import PipelineFile, read_pipeline_file, store_name
from tasks.pipeline_summary import failed

TINY: dict[str, Any] = {
    "model": "test_vit",
    "weights": "random",
    "layer": 3,
    "saliency_layer": 5,
    "also": [],
    "facet": "key",
    "stride": 16,
    "size": 32,
    "precision": "float32",
    "refinement": "none",
    "pictures": False,
}


def write(path: Path, photos: Path, *tasks: dict[str, Any], **more: Any) -> str:
    places = {name: str(path.parent / name) for name in ("store", "out")}
    content = {"images": str(photos), **places, "settings": TINY, "tasks": list(tasks), **more}
    path.write_text(yaml.safe_dump(content))
    return str(path)


def test_settings_win_in_order(tmp_path: Path) -> None:
    file = PipelineFile(
        images="i",
        store="s",
        out="o",
        settings={"stride": 2, "ratio": 1.25, "size": 112},
        tasks=(
            {"flow": "cosegment", "preset": "amir2021-coseg", "settings": {"size": 98}},
            {"flow": "extract"},
        ),
    )
    masks, alone = file.tasks
    settings = file.settings_of(masks, CosegmentConfig)
    # The preset says stride 4, size 224 and layer 11; the file and the task come later.
    assert (settings.layer, settings.stride, settings.size, settings.ratio) == (11, 2, 98, 1.25)
    # A setting of the whole file that a task has not is none of its business.
    assert file.settings_of(alone, ExtractConfig).size == 112
    assert (file.out_of(masks), masks.title) == ("o/cosegment", "cosegment")


def test_tasks_that_need_the_same_descriptors_share_a_store(tmp_path: Path) -> None:
    one, same = CosegmentConfig(ratio=1.5), CosegmentConfig(ratio=2.0, batch=1)
    assert store_name(one) == store_name(same)
    assert store_name(one).startswith(f"{one.model}-{one.layer}-{one.facet}-")
    names = {store_name(c) for c in (one, CosegmentConfig(layer=2), CosegmentConfig(size=448))}
    assert len(names) == 3
    assert "/" not in store_name(ExtractConfig(model="../../etc/vit"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- a list", "expected a mapping of images, store, out, settings, tasks; got list"),
        ("images: [", "is no YAML"),
        ("{images: i, store: s, out: o, tasks: []}", "tasks: .*at least 1 item"),
        ("{images: i, store: s, out: o, tasks: [{flow: a}, {flow: a}]}", "two tasks are called"),
        ("{images: i, store: s, out: o, tasks: [{flow: ../x}]}", "tasks.0.flow"),
        ("{images: i, store: s, out: o, tasks: [{flow: a, name: ../x}]}", "tasks.0.name"),
        ("{images: i, store: s, out: o, task: []}", "task: Extra inputs"),
        ("!!python/object/apply:os.system [true]", "is no YAML.*python"),
    ],
)
def test_what_a_file_gets_wrong_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"(?s){message}"):
        read_pipeline_file(str(path))


def test_everything_is_checked_before_anything_runs(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no pipeline file at"):
        read_pipeline_file(str(tmp_path / "none.yaml"))
    file = read_pipeline_file(write(tmp_path / "p.yaml", photos, {"flow": "cosegment"}))
    with pytest.raises(ValueError, match="no task 'parts' in the file; there are: cosegment"):
        plan_jobs(file, ["parts"])
    wrong = {"flow": "cosegment", "settings": {"elbow": 2}}
    file = read_pipeline_file(write(tmp_path / "p.yaml", photos, wrong))
    with pytest.raises(ValueError, match=r"task cosegment: elbow: .*less than or equal to 1"):
        plan_jobs(file)
    with pytest.raises(ValueError, match="no flow 'os'"):
        flow_of("os")
    with pytest.raises(ValueError, match="cannot be a task of a pipeline: expected one that"):
        flow_of("verify")


def jobs_of(tmp_path: Path, *tasks: dict[str, Any], settings: dict[str, Any] | None = None) -> Any:
    content = {"images": "in", "store": "s", "out": "o", "tasks": list(tasks)}
    path = tmp_path / "jobs.yaml"
    path.write_text(yaml.safe_dump(content | {"settings": settings or {}}))
    return plan_jobs(read_pipeline_file(str(path)))


def test_every_flow_gets_what_it_takes(tmp_path: Path) -> None:
    points = {"keypoints": "k.csv", "a": "a.png", "b": "b.png"}
    masks, found, clusters, pairs, moved, clips = jobs_of(
        tmp_path,
        {"flow": "cosegment"},
        {"flow": "search", "of": "cosegment", "arguments": {"image": "q.png", "point": [3, 4]}},
        {"flow": "cluster", "settings": {"clusters": 5, "layer": 2}},
        {"flow": "correspond", "store": "elsewhere"},
        {"flow": "transfer", "arguments": points},
        {"flow": "propagate", "arguments": {"mask": "m.png"}},
        settings={"stride": 2, "steps": 3, "recent": 4},
    )
    # Descriptors that two tasks read are made once, those of other settings by themselves.
    assert found.store == masks.store == masks.given["store"] == found.given["store"]
    assert (found.given["point"], found.given["image"]) == ([3, 4], "q.png")
    assert clusters.store != masks.store
    assert (clusters.descriptors.layer, clusters.descriptors.stride) == (2, 2)
    assert (clusters.given["config"].clusters, clusters.given["config"].steps) == (5, 3)
    # These see to images of their own.
    assert (pairs.descriptors, pairs.given["store"]) == (None, "elsewhere")
    assert (pairs.given["a"], pairs.given["b"]) == ("in", "in")
    assert (moved.given["a"], moved.given["b"], moved.store) == ("a.png", "b.png", None)
    assert (clips.given["frames"], clips.given["mask"]) == ("in", "m.png")
    assert (clips.given["config"].recent, clips.given["out"]) == (4, "o/propagate")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"flow": "search"}, "search needs image, point .under `arguments`.; it takes store"),
        ({"flow": "cosegment", "arguments": {"mask": "m"}}, "cosegment has no argument 'mask'"),
        ({"flow": "search", "arguments": {"image": "q", "point": 3}}, "task search: .*point"),
        ({"flow": "cluster", "settings": {"hits": 3}}, "task cluster: hits: Extra inputs"),
        ({"flow": "search", "of": "masks"}, "task search: no task 'masks'"),
        ({"flow": "propagate", "of": "propagate"}, "propagate reads no descriptors"),
        ({"flow": "propagate", "store": "s"}, "propagate reads no descriptors"),
        ({"flow": "extract", "arguments": {"only": []}}, "extract takes settings and store, noth"),
        ({"flow": "demo"}, "cannot be a task of a pipeline"),
    ],
)
def test_arguments_are_checked_before_anything_runs(
    tmp_path: Path, task: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=rf"(?s){message}"):
        jobs_of(tmp_path, task)


def test_the_causes_of_a_failure_are_in_its_line() -> None:
    error = ExceptionGroup("2 of 3 failed", [OSError("down"), KeyError("k")])
    assert failed("a", "b", "c", error, 1.0).line == "2 of 3 failed; down; k"


def artifact(key: str) -> str:
    with get_client(sync_client=True) as client:
        found = client.request("POST", "/artifacts/latest/filter", json={}).json()
    return next(str(a["data"]) for a in found if a["key"] == key)


@pytest.mark.usefixtures("prefect_server")
def test_one_failing_task_does_not_lose_the_others(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    file = write(
        tmp_path / "pipeline.yaml",
        photos,
        {"flow": "extract", "name": "descriptors"},
        {"flow": "cosegment", "name": "blocked", "out": str(tmp_path / "file" / "out")},
        {"flow": "cosegment", "name": "unweighted", "settings": {"weights": "/none.safetensors"}},
        {"flow": "cosegment"},
    )
    with pytest.raises(ExceptionGroup, match="tasks are done; failed: blocked, unwei") as e:
        pipeline(file)
    blocked, unweighted, *others = map(str, e.value.exceptions)
    assert others == []
    assert blocked.startswith("blocked: ")
    assert "unweighted: extraction failed: " in unweighted
    assert len(list((tmp_path / "out" / "cosegment").rglob("masks/*.png"))) == 7
    # Three tasks need the same descriptors, and they were made once.
    stores = [path for path in (tmp_path / "store").iterdir() if (path / "commits").exists()]
    assert [len(DescriptorStore.open(str(store)).index()) for store in stores] == [7]
    page = artifact("pipeline")
    assert page.count("**failed**") == 2
    assert str(tmp_path / "out" / "cosegment" / "report" / "index.html") in page
    # Again, of one task only: everything is there.
    again = pipeline(file, only=("cosegment",))
    assert again.line == "1 of 1 tasks are done"
    assert "unchanged since an earlier run" in again.steps[0].line


@pytest.mark.usefixtures("prefect_server")
def test_tasks_of_every_kind_run_from_one_file(photos: Path, tmp_path: Path) -> None:
    one, other = str(photos / "dogs" / "0.png"), str(photos / "dogs" / "2.png")
    (tmp_path / "points.csv").write_text("x,y\n30,20\n")
    file = write(
        tmp_path / "pipeline.yaml",
        photos,
        {"flow": "cluster", "settings": {"clusters": 3, "label_maps": False}},
        {"flow": "search", "of": "cluster", "arguments": {"image": one, "point": [30, 20]}},
        {"flow": "correspond", "arguments": {"a": one, "b": other}},
        {
            "flow": "transfer",
            "arguments": {"a": one, "b": other, "keypoints": str(tmp_path / "points.csv")},
        },
        {
            "flow": "propagate",
            "settings": {"stride_x": 16},
            "arguments": {"frames": str(photos / "dogs")},
        },
    )
    done = pipeline(file)
    assert done.line == "5 of 5 tasks are done"
    out = tmp_path / "out"
    files = ("cluster/codebook.zarr", "search/hits.csv", "correspond/matches.csv")
    more = ("transfer/keypoints.csv", "propagate/masks/0.png")
    assert [name for name in (*files, *more) if not (out / name).exists()] == []
    page = artifact("pipeline")
    assert [step.name for step in done.steps if f"`{out / step.name}`" not in page] == []
    reports = [str(out / step.name / "report" / "index.html") for step in done.steps]
    assert [step.report for step in done.steps] == reports
    assert [report for report in reports if not Path(report).exists()] == []


@pytest.mark.usefixtures("prefect_server")
def test_new_files_start_one_run(photos: Path) -> None:
    with get_client(sync_client=True) as client:
        flow_id = client.create_flow_from_name("waiting")
        client.create_deployment(flow_id, "drill")
    first = sensor(str(photos), "waiting/drill")
    assert (first.started, first.listing.count) == (True, 7)
    second = sensor(str(photos), "waiting/drill")
    assert (second.started, second.run) == (False, first.run)
    assert "nothing new since" in second.line
    (photos / "cats" / "new.png").write_bytes((photos / "cats" / "1.png").read_bytes())
    third = sensor(str(photos), "waiting/drill")
    assert third.started
    assert third.run != first.run


@pytest.mark.usefixtures("prefect_server")
def test_failures_are_sent_to_a_block_of_the_users() -> None:
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    from tasks.notifications import NAME, notify_of_failures

    with pytest.raises(ValueError, match="no block 'slack-webhook/none'"):
        notify_of_failures("slack-webhook/none")
    block = CustomWebhookNotificationBlock(
        name="drill", url="http://127.0.0.1:9/secret-canary", json_data={"text": "{{body}}"}
    )
    block.save("drill", _sync=True)
    notify_of_failures("custom-webhook/drill")
    notify_of_failures("custom-webhook/drill")
    with get_client(sync_client=True) as client:
        (automation,) = client.read_automations_by_name(NAME)
    assert "secret-canary" not in automation.model_dump_json()
    assert "prefect.flow-run.Crashed" in automation.trigger.expect
