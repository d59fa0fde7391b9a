"""Extraction as a flow: what it stores, resumes, retries and survives."""

import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from distributed import LocalCluster
from PIL import Image
from random_photos import write_photo

from flows.extract import extract
from flows.runner import make_runner
from storage.descriptors import DescriptorStore
from storage.errors import StorageError, StoreMismatchError
from storage.files import join, list_folder, read_bytes, write_bytes
from storage.images import list_images, read_image
from tasks import extract as extract_task
from tasks.config import ExtractConfig
from tasks.model import load_model
from tasks.ops.kinds import FacetRequest
from tasks.ops.patch_grid import plan_grid
from tasks.ops.preprocess import to_batch, to_canvas
from tasks.ops.saliency import saliency_from_attention
from tasks.ops.vit import extract_facets

pytestmark = pytest.mark.usefixtures("prefect_server")

TINY = ExtractConfig(
    model="test_vit",
    weights="random",
    layer=3,
    facet="key",
    also=("5.token",),
    stride=8,
    size=64,
    precision="float32",
    dtype="float16",
    batch=3,
    partition_size=3,
)


def contents(store_url: str) -> dict[str, dict[str, bytes]]:
    """Image name to array name to bytes."""
    store = DescriptorStore.open(store_url)
    names = ("descriptors", "descriptors_5_token", "cls", "saliency")
    return {
        image: {name: store.read(image, name).tobytes() for name in names}
        for image in store.index()
    }


def commits(store_url: str) -> list[str]:
    return sorted(list_folder(join(store_url, "commits")))


def test_the_store_holds_what_the_ops_give(photos: Path, tmp_path: Path) -> None:
    store_url = str(tmp_path / "store")
    summary = extract(str(photos), store_url, TINY)
    assert (summary.listed, summary.stored, summary.unchanged, summary.failures) == (7, 7, 0, ())
    # Three grids: 3 + 2 + 2 images, at most 3 in a partition.
    assert summary.partitions == 3
    assert summary.line == "7 images stored, 0 were already"
    store = DescriptorStore.open(store_url)
    model = load_model("test_vit", "random", precision="float32", device="cpu")
    key, token = FacetRequest(3, "key"), FacetRequest(5, "token")
    refs = list_images(str(photos))
    assert [ref.name for ref in refs] == sorted(store.index())
    for ref in refs:
        image = read_image(ref)
        grid = plan_grid(
            image.shape[1], image.shape[0], patch=16, stride=(8, 8), size=64, fit="short"
        )
        batch = to_batch([to_canvas(image, grid)], model.mean, model.std)
        found = extract_facets(model.module, batch, [key, token], stride=(8, 8), attention_layer=5)
        assert found.attention is not None
        saliency = saliency_from_attention(found.attention.numpy())[0]
        expected: dict[str, Any] = {
            "descriptors": found.facets[key][0].half(),
            "descriptors_5_token": found.facets[token][0].half(),
            "cls": found.cls[key][0].half(),
            "saliency": torch.from_numpy(saliency),
        }
        for name, tensor in expected.items():
            stored = store.read(ref.name, name)
            assert stored.dtype == tensor.numpy().dtype
            np.testing.assert_allclose(
                stored.astype(np.float32), tensor.float().numpy(), atol=2e-3, err_msg=name
            )
    assert store.info.weights == {"name": "random", "sha256": model.sha256}
    assert store.info.config["stride"] == 8
    assert store.info.config["patch"] == 16


def test_attention_heads_are_stored_on_request(photos: Path, tmp_path: Path) -> None:
    store_url = str(tmp_path / "store")
    extract(str(photos), store_url, TINY.replace(attention_heads=True, saliency_heads=(1,)))
    store = DescriptorStore.open(store_url)
    name = next(iter(store.index()))
    heads = store.read(name, "heads").astype(np.float32)
    assert heads.shape == (2, *store.index()[name].grid)
    # A head's attention to all tokens sums to 1; CLS takes some of it.
    assert (heads.sum(axis=(1, 2)) < 1.01).all()
    mean = heads[1]
    expected = (mean - mean.min()) / (mean.max() - mean.min())
    np.testing.assert_allclose(store.read(name, "saliency"), expected, atol=0.02)
    with pytest.raises(StoreMismatchError, match="attention_heads"):
        extract(str(photos), store_url, TINY.replace(saliency_heads=(1,)))


def test_a_second_run_does_nothing_and_says_so(photos: Path, tmp_path: Path) -> None:
    store_url = str(tmp_path / "store")
    extract(str(photos), store_url, TINY)
    before = commits(store_url), contents(store_url)
    again = extract(str(photos), store_url, TINY)
    assert (again.stored, again.unchanged, again.partitions) == (0, 7, 0)
    assert again.line == "nothing to do: 7 images are stored already"
    assert (commits(store_url), contents(store_url)) == before


def test_only_what_is_new_or_changed_is_computed(photos: Path, tmp_path: Path) -> None:
    store_url = str(tmp_path / "store")
    extract(str(photos), store_url, TINY)
    before = contents(store_url)
    write_photo(photos / "cats" / "new.png", 99)
    write_photo(photos / "dogs" / "0.png", 100, 96, 64)
    (photos / "dogs" / "2.png").unlink()
    summary = extract(str(photos), store_url, TINY)
    assert (summary.listed, summary.stored, summary.unchanged, summary.gone) == (7, 2, 5, 1)
    after = contents(store_url)
    assert set(after) == set(before) - {"dogs/2.png"} | {"cats/new.png"}
    assert after["dogs/0.png"] != before["dogs/0.png"]
    assert after["cats/1.png"] == before["cats/1.png"]


def test_another_source_never_empties_a_store_by_mistake(photos: Path, tmp_path: Path) -> None:
    store_url, other = str(tmp_path / "store"), tmp_path / "other"
    extract(str(photos), store_url, TINY)
    before = set(DescriptorStore.open(store_url).index())
    other.mkdir()
    write_photo(other / "elsewhere.png", seed=1)
    with pytest.raises(StoreMismatchError, match=r"none of the 7 images.*--gone keep"):
        extract(str(other), store_url, TINY)
    assert set(DescriptorStore.open(store_url).index()) == before
    extract(str(other), store_url, TINY.replace(gone="keep"))
    assert set(DescriptorStore.open(store_url).index()) == before | {"elsewhere.png"}
    # Now that some of it is there, what is not has left.
    extract(str(other), store_url, TINY)
    assert set(DescriptorStore.open(store_url).index()) == {"elsewhere.png"}
    extract(str(photos), store_url, TINY.replace(gone="mark"))
    assert set(DescriptorStore.open(store_url).index()) == before


def test_other_settings_are_refused_by_name(photos: Path, tmp_path: Path) -> None:
    store_url = str(tmp_path / "store")
    extract(str(photos), store_url, TINY)
    with pytest.raises(StoreMismatchError, match=r"facet.*'?key'?.*'?value'?"):
        extract(str(photos), store_url, TINY.replace(facet="value"))
    # How a run is carried out is no such setting.
    assert extract(str(photos), store_url, TINY.replace(batch=1)).partitions == 0


def test_settings_may_come_as_json_from_a_deployment(photos: Path, tmp_path: Path) -> None:
    given: Any = json.loads(TINY.model_dump_json())
    assert extract(str(photos), str(tmp_path / "store"), given).stored == 7


def test_200_photographs_of_which_5_are_broken(tmp_path: Path) -> None:
    folder, store_url = tmp_path / "photos", str(tmp_path / "store")
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(195):
        noise = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        side = (32, 48) if i % 3 else (40, 32)
        Image.fromarray(noise).resize(side).save(folder / f"{i:03}.jpg")
    whole = (folder / "000.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) - 100])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("This is no photograph.\n" * 20)
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    Image.new("1", (20_000, 20_000)).save(folder / "huge.png")
    config = TINY.replace(size=32, stride=16, also=(), batch=16, partition_size=64)
    summary = extract(str(folder), store_url, config)
    assert (summary.listed, summary.stored) == (200, 195)
    reasons = dict(summary.failures)
    assert sorted(reasons) == ["cut.jpg", "dot.png", "empty.jpg", "huge.png", "text.jpg"]
    assert "broken image data" in reasons["cut.jpg"]
    assert "too small: 1x1 pixels" in reasons["dot.png"]
    assert "zero bytes" in reasons["empty.jpg"]
    assert "too many pixels" in reasons["huge.png"]
    assert "holds text" in reasons["text.jpg"]
    assert len(DescriptorStore.open(store_url).index()) == 195
    before = commits(store_url)
    again = extract(str(folder), store_url, config)
    assert (again.stored, again.partitions, again.unchanged) == (0, 0, 195)
    assert dict(again.failures) == reasons
    assert again.line == "nothing to do: 195 images are stored already, 5 could not be read"
    assert commits(store_url) == before
    # A repaired file is another file; the rest is tried again when asked for.
    (folder / "cut.jpg").write_bytes(whole)
    assert extract(str(folder), store_url, config).stored == 1
    retried = extract(str(folder), store_url, config.replace(retry_failures=True))
    assert (retried.stored, len(retried.failures)) == (0, 4)


def test_a_partition_logs_its_rate_and_what_could_not_be_used(photos: Path, tmp_path: Path) -> None:
    dogs = photos / "dogs"
    (dogs / "text.jpg").write_text("This is no photograph.\n" * 20)  # seen when listed
    whole = (dogs / "0.png").read_bytes()
    (dogs / "cut.png").write_bytes(whole[: len(whole) // 2])  # seen when read
    logger, kept = logging.getLogger("prefect.task_runs"), MemoryHandler(1000, logging.CRITICAL)
    level = logger.level
    logger.addHandler(kept)
    logger.setLevel("INFO")
    try:
        extract(str(dogs), str(tmp_path / "store"), TINY.replace(partition_size=9))
    finally:
        logger.setLevel(level)
        logger.removeHandler(kept)
    said = [record.getMessage() for record in kept.buffer]
    unusable = [line.split(": ")[0] for line in said if line.startswith("could not use")]
    # By the task that met it, and all of them at the end.
    assert unusable.count("could not use cut.png") == 2
    assert unusable.count("could not use text.jpg") == 1
    rates = [line for line in said if "images/s" in line]
    assert len(rates) == 3  # one for each grid
    assert any(
        re.fullmatch(r"2 images, \d.* MB, stored in .* s \(.* images/s\) by .*:\d+, 1 .*", line)
        for line in rates
    )


def test_a_strip_that_would_need_too_many_patches_is_set_aside(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (16, 60_000)).save(folder / "strip.png")
    Image.new("RGB", (64, 64)).save(folder / "fine.png")
    summary = extract(str(folder), str(tmp_path / "store"), TINY)
    assert summary.stored == 1
    ((name, reason),) = summary.failures
    assert name == "strip.png"
    assert "patches" in reason
    assert "--max-patches" in reason


def test_threads_a_dask_cluster_and_a_scheduler_store_the_same_bytes(
    photos: Path, tmp_path: Path
) -> None:
    threads = str(tmp_path / "threads")
    extract(str(photos), threads, TINY)
    here = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "protocol": "tcp"}
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, **here) as cluster:
        for runner in ("dask", cluster.scheduler_address):
            store = str(tmp_path / runner[:4])
            summary = extract.with_options(task_runner=make_runner(runner))(
                str(photos), store, TINY
            )
            assert (summary.stored, summary.partitions) == (7, 3)
            assert contents(store) == contents(threads)
            assert commits(store) == commits(threads)


def test_a_storage_fault_is_tried_again(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[str] = []
    real = extract_task.write_partition

    def flaky(store: Any, partition: Any, config: Any) -> Any:
        attempts.append(partition.id)
        if attempts.count(partition.id) == 1:
            raise OSError(121, "Remote I/O error")
        return real(store, partition, config)

    monkeypatch.setattr(extract_task, "write_partition", flaky)
    monkeypatch.setattr(extract_task.extract_partition, "retry_delay_seconds", 0)
    summary = extract(str(photos), str(tmp_path / "store"), TINY)
    assert summary.stored == 7
    assert len(attempts) == 6
    assert len(set(attempts)) == 3


def test_a_programming_error_is_not_and_the_others_end(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[tuple[int, int]] = []
    real = extract_task.write_partition

    def wrong(store: Any, partition: Any, config: Any) -> Any:
        attempts.append(partition.grid)
        if partition.grid == (7, 7):
            raise TypeError("a bug")
        return real(store, partition, config)

    store_url = str(tmp_path / "store")
    monkeypatch.setattr(extract_task, "write_partition", wrong)
    with pytest.raises(ExceptionGroup, match="1 of 3 partitions failed; run again") as caught:
        extract(str(photos), store_url, TINY)
    assert [str(error) for error in caught.value.exceptions] == ["a bug"]
    assert len(attempts) == 3
    assert len(DescriptorStore.open(store_url).index()) == 5
    monkeypatch.setattr(extract_task, "write_partition", real)
    again = extract(str(photos), store_url, TINY)
    assert (again.stored, again.unchanged, again.partitions) == (2, 5, 1)


def test_a_fault_that_lasts_ends_the_run_with_its_cause(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: Any) -> Any:
        raise ConnectionResetError("the bucket is down")

    monkeypatch.setattr(extract_task, "write_partition", down)
    monkeypatch.setattr(extract_task.extract_partition, "retry_delay_seconds", 0)
    with pytest.raises(ExceptionGroup, match="3 of 3 partitions failed") as caught:
        extract(str(photos), str(tmp_path / "store"), TINY)
    assert {str(error) for error in caught.value.exceptions} == {"the bucket is down"}


def upload(photos: Path, url: str) -> None:
    for path in photos.rglob("*.png"):
        write_bytes(join(url, path.relative_to(photos).as_posix()), path.read_bytes())


def test_memory_as_source_and_destination(photos: Path, tmp_path: Path) -> None:
    root = f"memory://{uuid.uuid4().hex}"
    upload(photos, join(root, "photos"))
    summary = extract(join(root, "photos"), join(root, "store"), TINY)
    assert (summary.stored, summary.failures) == (7, ())
    extract(str(photos), str(tmp_path / "local"), TINY)
    assert contents(join(root, "store")) == contents(str(tmp_path / "local"))
    assert extract(join(root, "photos"), join(root, "store"), TINY).partitions == 0


@pytest.mark.servers
def test_a_bucket_as_source_and_destination(
    photos: Path, tmp_path: Path, s3_server: object
) -> None:
    root = f"s3://bucket/{uuid.uuid4().hex}"
    upload(photos, join(root, "photos"))
    summary = extract(join(root, "photos"), join(root, "store"), TINY)
    assert (summary.stored, summary.failures) == (7, ())
    extract(str(photos), str(tmp_path / "local"), TINY)
    assert contents(join(root, "store")) == contents(str(tmp_path / "local"))
    assert extract(join(root, "photos"), join(root, "store"), TINY).partitions == 0


def committed(store: Path) -> int:
    return len(list((store / "commits").glob("*.json"))) if store.exists() else 0


def test_a_killed_command_goes_on_where_it_stopped(tmp_path: Path, prefect_server: str) -> None:
    folder, store = tmp_path / "photos", tmp_path / "store"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for i in range(24):
        noise = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((64, 64)).save(folder / f"{i:02}.png")
    options = "--model test_vit --weights random --layer 3 --facet key --stride 2 --size 128"
    sizes = "--precision float32 --batch 1 --partition-size 3"
    command = [sys.executable, "-c", "from flows.cli import main; main()"]
    command += ["extract", str(folder), str(store), *options.split(), *sizes.split()]
    root = Path(__file__).parents[2]
    environment = os.environ | {"PREFECT_API_URL": prefect_server, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command,
        cwd=root,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while committed(store) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None, "ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    survived = committed(store)
    assert 2 <= survived < 8
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    left = 24 - 3 * survived
    assert f"{left} images stored, {3 * survived} were already" in done.stdout
    index = DescriptorStore.open(str(store)).index()
    assert sorted(index) == [f"{i:02}.png" for i in range(24)]
    assert committed(store) == 8
    assert sum(partition.count for partition in index.partitions.values()) == 24


def test_sources_that_hold_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(StorageError, match="empty"):
        extract(str(tmp_path / "empty"), str(tmp_path / "store"), TINY)
    with pytest.raises(StorageError, match="nowhere"):
        extract(str(tmp_path / "nowhere"), str(tmp_path / "store"), TINY)
    assert not (tmp_path / "store").exists()


def test_pictures_of_every_kind_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("L", (64, 64), 90).save(folder / "gray.png")
    Image.new("RGBA", (64, 64), (10, 20, 30, 128)).save(folder / "alpha.png")
    Image.new("P", (64, 64)).save(folder / "palette.gif")
    buffer = io.BytesIO()
    Image.new("CMYK", (64, 64)).save(buffer, "JPEG")
    (folder / "cmyk.jpg").write_bytes(buffer.getvalue())
    summary = extract(str(folder), str(tmp_path / "store"), TINY)
    assert (summary.stored, summary.failures) == (4, ())
    assert read_bytes(str(tmp_path / "store" / "store.json"))
