"""Image to tokens: patch convolution at any stride, position embedding at any grid."""

import copy
from typing import Any

import torch
from timm.layers import RotaryEmbeddingCat
from torch import Tensor
from torch.nn import functional as F

from tasks.ops.kinds import PositionResize

# A timm module; torch types its attributes as Tensor | Module, which fits none of them.
Vit = Any


def embed(
    model: Vit, images: Tensor, stride: tuple[int, int], position_resize: PositionResize
) -> tuple[Tensor, Tensor | None, tuple[int, int]]:
    """Tokens that enter the first block of a timm ViT.

    Args:
        model: ``VisionTransformer`` or ``Eva``.
        images: (B, 3, height, width), normalised, the model's dtype.
        stride: step of the patch convolution, (vertical, horizontal) pixels.
        position_resize: see `resize_positions`.

    Returns:
        tokens (B, prefix + N, D), the rotary embedding or None, and the grid (rows, cols).
    """
    proj = model.patch_embed.proj
    patches = F.conv2d(images, proj.weight, proj.bias, stride=stride)
    rows, cols = patches.shape[-2:]
    tokens = model.patch_embed.norm(patches.flatten(2).transpose(1, 2))
    special = (model.cls_token, getattr(model, "dist_token", None), model.reg_token)
    prefix = [token.expand(len(images), -1, -1) for token in special if token is not None]
    positions = _positions(model, (rows, cols), position_resize)
    if positions is not None and positions.shape[1] == rows * cols:
        tokens = tokens + positions.to(tokens.dtype)
        positions = None
    tokens = torch.cat([*prefix, tokens], dim=1)
    if positions is not None:
        tokens = tokens + positions.to(tokens.dtype)
    return model.norm_pre(tokens), _rotary(model, (rows, cols)), (rows, cols)


def _rotary(model: Vit, grid: tuple[int, int]) -> Tensor | None:
    rope = getattr(model, "rope", None)
    if rope is None:
        return None
    if isinstance(rope, RotaryEmbeddingCat) and rope.feat_shape is not None:
        # EVA-02's answers with the embedding of its native grid, whatever shape is asked for.
        # A copy, since the model is not ours to change.
        rope = copy.deepcopy(rope)
        rope.update_feat_shape(list(grid))
    return rope.get_embed(shape=list(grid))


def _positions(model: Vit, grid: tuple[int, int], mode: PositionResize) -> Tensor | None:
    embedding = getattr(model, "pos_embed", None)
    if embedding is None:
        return None
    native = model.patch_embed.grid_size
    prefix = embedding.shape[1] - native[0] * native[1]
    patches = embedding[:, prefix:].reshape(1, *native, -1)
    resized = resize_positions(patches, grid, mode).flatten(1, 2)
    return torch.cat([embedding[:, :prefix].to(resized.dtype), resized], dim=1)


def resize_positions(positions: Tensor, grid: tuple[int, int], mode: PositionResize) -> Tensor:
    """Resize a position embedding (1, rows0, cols0, D) to (1, rows, cols, D), bicubically.

    mode:
        ``timm``: to the exact size, antialiased when shrinking, as timm does.
        ``dinov2``: to the exact size, without antialias, as Hugging Face's DINOv2 does.
        ``dino``: the original DINO code's quirk, a scale factor of (rows + 0.1) / rows0,
        whose sampling positions differ slightly from those of the exact size.

    A grid of the native size is returned as it is. Computed in float32.
    """
    native = positions.shape[1], positions.shape[2]
    if native == grid:
        return positions
    maps = positions.float().permute(0, 3, 1, 2)
    if mode == "dino":
        factors = [(n + 0.1) / n0 for n, n0 in zip(grid, native, strict=True)]
        maps = F.interpolate(maps, scale_factor=factors, mode="bicubic", align_corners=False)
    else:
        antialias = mode == "timm"
        maps = F.interpolate(
            maps, size=grid, mode="bicubic", align_corners=False, antialias=antialias
        )
    return maps.permute(0, 2, 3, 1)
