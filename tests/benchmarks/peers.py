"""What the benchmarks compare with: other people's way to the same numbers, on one model."""

import contextlib
from collections.abc import Iterator
from typing import Any

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
