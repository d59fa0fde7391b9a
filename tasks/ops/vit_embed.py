"""Image to tokens: patch convolution at any stride, position embedding at any grid."""

import copy
import weakref
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.ops.kinds import PositionResize
from tasks.ops.timm_parts import RotaryEmbeddingCat

# Resizing takes a GPU as long as a twentieth of a batch: a model's last grids are kept.
_KEPT = 16
_RESIZED: weakref.WeakKeyDictionary[nn.Module, OrderedDict[object, Tensor]] = (
    weakref.WeakKeyDictionary()
)

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
    patches, (rows, cols) = _patches(model.patch_embed.proj, images, stride)
    tokens = model.patch_embed.norm(patches)
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


def _patches(
    proj: nn.Conv2d, images: Tensor, stride: tuple[int, int]
) -> tuple[Tensor, tuple[int, int]]:
    """The patch convolution at `stride`: (B, rows x cols, D), and (rows, cols)."""
    if not images.is_cuda:
        patches = F.conv2d(images, proj.weight, proj.bias, stride=stride)
        return patches.flatten(2).transpose(1, 2), (patches.shape[-2], patches.shape[-1])
    # Three channels are too few for cuDNN's convolutions: one matrix product is 6 times as fast.
    height, width = proj.kernel_size
    windows = images.unfold(2, height, stride[0]).unfold(3, width, stride[1])
    rows, cols = windows.shape[2:4]
    pixels = windows.permute(0, 2, 3, 1, 4, 5).reshape(len(images), rows * cols, -1)
    return F.linear(pixels, proj.weight.flatten(1), proj.bias), (rows, cols)


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
    kept = _RESIZED.setdefault(model, OrderedDict())
    key = (grid, mode, embedding.data_ptr(), embedding._version, embedding.dtype)
    if key not in kept:
        kept[key] = _resized(embedding, model.patch_embed.grid_size, grid, mode)
        while len(kept) > _KEPT:
            kept.popitem(last=False)
    return kept[key]


def _resized(
    embedding: Tensor, native: tuple[int, int], grid: tuple[int, int], mode: PositionResize
) -> Tensor:
    prefix = embedding.shape[1] - native[0] * native[1]
    patches = embedding[:, prefix:].reshape(1, *native, -1)
    resized = resize_positions(patches, grid, mode).flatten(1, 2)
    whole = torch.cat([embedding[:, :prefix].to(resized.dtype), resized], dim=1)
    return whole.to(embedding.dtype)


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
