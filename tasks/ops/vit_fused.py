"""The same blocks in half precision with as few passes over memory as a GPU needs.

With 384 channels a block's linears move about as much memory as they compute, so that what
lies between them counts. Here the residual is added by the matrix product itself, GELU happens
in the product before it, LayerScale is part of the weights, and the biases of all linears that
end in the residual are kept apart as one vector a layer, which the next norm adds.
"""

import weakref
from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.ops import hopper
from tasks.ops.attention import attention
from tasks.ops.timm_parts import Attention, Block, LayerScale, Mlp
from tasks.ops.vit_attention import Part, Projections, project, split_heads
from tasks.ops.vit_embed import Vit


class Affine(NamedTuple):
    """A layer norm's parameters. weight, bias: (D,), the model's dtype."""

    weight: Tensor
    bias: Tensor
    eps: float


class FusedBlock(NamedTuple):
    """A block's parameters as the fused arithmetic wants them.

    out, down: (D, D) and (D, hidden), with LayerScale multiplied in; up: (hidden, D) with
    up_bias. shift1, shift2: (D,) float32: what all linears before the block's first and second
    norm should have added to the residual; shift3 likewise after the block.
    """

    norm1: Affine
    norm2: Affine
    out: Tensor
    up: Tensor
    up_bias: Tensor
    down: Tensor
    shift1: Tensor
    shift2: Tensor
    shift3: Tensor


class FusedStream:
    """See `vit_blocks.Stream`. Overwrites `tokens` (B, n, D), which are contiguous."""

    def __init__(self, model: Vit, blocks: list[FusedBlock], tokens: Tensor) -> None:
        self._attns = [block.attn for block in model.blocks]
        self._blocks = blocks
        self._shape = tokens.shape
        self._flat = tokens.view(-1, tokens.shape[-1])
        self._shift: Tensor | None = None

    def normed(self, layer: int) -> Tensor:
        """See `vit_blocks.Stream`."""
        block = self._blocks[layer]
        return _norm(self._flat, block.shift1, block.norm1).view(self._shape)

    def project(self, layer: int, normed: Tensor, parts: Collection[Part]) -> Projections:
        """See `vit_blocks.Stream`."""
        return project(self._attns[layer], normed, parts)

    def advance(self, layer: int, normed: Tensor, projections: Projections) -> None:  # noqa: ARG002
        """See `vit_blocks.Stream`."""
        block = self._blocks[layer]
        heads = int(self._attns[layer].num_heads)
        query, key, value = (split_heads(part, heads) for part in projections if part is not None)
        attended = attention(query, key, value).transpose(1, 2).reshape(self._flat.shape)
        self._flat.addmm_(attended, block.out.t())
        hidden = _norm(self._flat, block.shift2, block.norm2)
        # The matrix product's own GELU is the one by tanh, 5e-4 off at most.
        hidden = torch._addmm_activation(block.up_bias, hidden, block.up.t(), use_gelu=True)
        self._flat.addmm_(hidden, block.down.t())
        self._shift = block.shift3

    def tokens(self) -> Tensor:
        """See `vit_blocks.Stream`; a copy."""
        flat = self._flat if self._shift is None else self._flat.float() + self._shift
        return flat.to(self._flat.dtype).view(self._shape)


# Of each model its fused blocks, and what they were made from.
_FUSED: weakref.WeakKeyDictionary[nn.Module, tuple[object, list[FusedBlock] | None]] = (
    weakref.WeakKeyDictionary()
)


def fused_blocks(model: Vit) -> list[FusedBlock] | None:
    """`model`'s blocks in fused form; None if they are of another kind. Made once a model."""
    made_from = fingerprint(model)
    found = _FUSED.get(model)
    if found is None or found[0] != made_from:
        found = (made_from, fuse(model))
        _FUSED[model] = found
    return found[1]


def fingerprint(model: Vit) -> object:
    """Changes whenever a parameter does."""
    return tuple((p.data_ptr(), p._version, p.dtype) for p in model.blocks.parameters())


def fuse(model: Vit) -> list[FusedBlock] | None:
    """As `fused_blocks`, made anew."""
    if not all(_is_plain(block) for block in model.blocks):
        return None
    shift = torch.zeros(model.embed_dim, device=model.blocks[0].attn.proj.weight.device)
    fused = []
    for block in model.blocks:
        out, out_bias = _scaled(block.attn.proj, block.ls1)
        down, down_bias = _scaled(block.mlp.fc2, block.ls2)
        fused.append(
            FusedBlock(
                _affine(block.norm1),
                _affine(block.norm2),
                out,
                block.mlp.fc1.weight,
                block.mlp.fc1.bias,
                down,
                shift,
                shift + out_bias,
                shift + out_bias + down_bias,
            )
        )
        shift = fused[-1].shift3
    return fused


def _is_plain(block: Vit) -> bool:
    if type(block) is not Block:
        return False
    attn: Vit = block.attn
    mlp: Vit = block.mlp
    return (
        type(attn) is Attention
        and attn.qkv is not None
        and all(isinstance(m, nn.Identity) for m in (attn.q_norm, attn.k_norm, attn.norm))
        and getattr(attn, "gate", None) is None
        and type(mlp) is Mlp
        and type(mlp.act) is nn.GELU
        and isinstance(mlp.norm, nn.Identity)
        and mlp.fc1.bias is not None
        and all(isinstance(ls, nn.Identity | LayerScale) for ls in (block.ls1, block.ls2))
        and all(
            isinstance(norm, nn.LayerNorm) and norm.weight is not None and norm.bias is not None
            for norm in (block.norm1, block.norm2)
        )
    )


def _affine(norm: nn.LayerNorm) -> Affine:
    return Affine(norm.weight, norm.bias, float(norm.eps))


def _scaled(linear: nn.Linear, scale: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight in the linear's dtype and bias in float32, both times LayerScale."""
    weight = linear.weight
    bias = torch.zeros(len(weight), device=weight.device) if linear.bias is None else linear.bias
    if isinstance(scale, LayerScale):
        gamma = scale.gamma.float()
        return (weight.float() * gamma[:, None]).to(weight.dtype), bias.float() * gamma
    return weight, bias.float()


def _norm(flat: Tensor, shift: Tensor, norm: Affine) -> Tensor:
    if hopper.is_hopper(flat.device):
        return hopper.shifted_norm(flat, shift, *norm)
    shifted = (flat.float() + shift).to(flat.dtype)
    return F.layer_norm(shifted, shifted.shape[-1:], norm.weight, norm.bias, norm.eps)
