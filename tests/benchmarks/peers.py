"""What the benchmarks compare with: other people's way to the same numbers, on one model."""

import contextlib
import os
import platform
import resource
import subprocess
from collections.abc import Iterator
from typing import Any

import timm
import torch
from torch import Tensor, nn

from tasks.ops.vit_embed import resize_positions


def at_stride(model: Any, stride: int, side: int) -> Any:
    """timm's own model, told to step by `stride` over an image with a grid of `side` patches.

    The positions are resized once, which published code does anew for every image.
    """
    native = model.patch_embed.grid_size
    prefix = model.pos_embed.shape[1] - native[0] * native[1]
    patches = model.pos_embed[:, prefix:].reshape(1, *native, -1)
    resized = resize_positions(patches, (side, side), "dinov2").flatten(1, 2)
    model.pos_embed = nn.Parameter(
        torch.cat([model.pos_embed[:, :prefix], resized.to(model.pos_embed.dtype)], dim=1),
        requires_grad=False,
    )
    model.patch_embed.proj.stride = (stride, stride)
    model.patch_embed.grid_size = (side, side)
    # timm computes its grid from image and patch; here it is what the convolution gives.
    model.patch_embed.dynamic_feat_size = lambda _: (side, side)
    model.patch_embed.strict_img_size = False
    return model


def hooked_key(model: Any, images: Tensor, layer: int) -> Tensor:
    """The keys (B, n, D) of a layer as published code takes them: a hook, the whole forward."""
    caught: list[Tensor] = []
    qkv = model.blocks[layer].attn.qkv
    hook = qkv.register_forward_hook(lambda _module, _given, out: caught.append(out))
    try:
        model.forward_features(images)
    finally:
        hook.remove()
    return caught[0].chunk(3, dim=-1)[1]


@contextlib.contextmanager
def unfused_attention(model: Any) -> Iterator[None]:
    """Attention with its matrix, as code from before fused kernels has it."""
    layers = [block.attn for block in model.blocks]
    before = [layer.fused_attn for layer in layers]
    try:
        for layer in layers:
            layer.fused_attn = False
        yield
    finally:
        for layer, fused in zip(layers, before, strict=True):
            layer.fused_attn = fused


def synchronise(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def own_peak() -> int:
    """Peak resident bytes of this process."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def machine(device: torch.device) -> dict[str, Any]:
    """What a figure is worth nothing without."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "hardware": name,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": timm.__version__,
        "commit": commit or "unknown",
    }


def _processor() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
