"""The fused blocks on processors, by oneDNN's own linear layers.

Their weights are laid out once as the products want them, and bias, GELU and the residual are
part of the product: a tenth less time than PyTorch's linear layers and what lies between.
"""

import weakref
from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.ops.attention import attention
from tasks.ops.vit_attention import PARTS, Part, Projections, project, split_heads
from tasks.ops.vit_embed import Vit
from tasks.ops.vit_fused import Affine, FusedBlock, fingerprint, fuse

# Rows that the layout is chosen for; others work as well.
_ROWS = 1024


class Linear(NamedTuple):
    """weight: in oneDNN's layout. bias: (out,) or None."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, tokens: Tensor, activation: str = "none") -> Tensor:
        """Tokens (B, n, in) to (B, n, out)."""
        made: Tensor = torch.ops.mkldnn._linear_pointwise(
            tokens, self.weight, self.bias, activation, [], "none"
        )
        return made

    def onto(self, residual: Tensor, tokens: Tensor) -> Tensor:
        """Residual (B, n, out) + what `tokens` give."""
        made: Tensor = torch.ops.mkldnn._linear_pointwise.binary(
            tokens, residual, self.weight, self.bias, "add"
        )
        return made


class PackedBlock(NamedTuple):
    """See `vit_fused.FusedBlock`."""

    norm1: Affine
    norm2: Affine
    qkv: Linear
    out: Linear
    up: Linear
    down: Linear


class PackedStream:
    """See `vit_blocks.Stream`."""

    def __init__(self, model: Vit, blocks: list[PackedBlock], tokens: Tensor) -> None:
        self._model = model
        self._blocks = blocks
        self._tokens = tokens

    def normed(self, layer: int) -> Tensor:
        """See `vit_blocks.Stream`."""
        return _norm(self._tokens, self._blocks[layer].norm1)

    def project(self, layer: int, normed: Tensor, parts: Collection[Part]) -> Projections:
        """See `vit_blocks.Stream`."""
        if set(parts) == set(PARTS):
            return Projections(*self._blocks[layer].qkv(normed).chunk(3, dim=-1))
        return project(self._model.blocks[layer].attn, normed, parts)

    def advance(self, layer: int, normed: Tensor, projections: Projections) -> None:  # noqa: ARG002
        """See `vit_blocks.Stream`."""
        block = self._blocks[layer]
        heads = int(self._model.blocks[layer].attn.num_heads)
        query, key, value = (split_heads(part, heads) for part in projections if part is not None)
        attended = attention(query, key, value).transpose(1, 2).flatten(2)
        tokens = block.out.onto(self._tokens, attended)
        hidden = block.up(_norm(tokens, block.norm2), "gelu")
        self._tokens = block.down.onto(tokens, hidden)

    def tokens(self) -> Tensor:
        """See `vit_blocks.Stream`."""
        return self._tokens


# Of each model its packed blocks, and what they were made from.
_PACKED: weakref.WeakKeyDictionary[nn.Module, tuple[object, list[PackedBlock] | None]] = (
    weakref.WeakKeyDictionary()
)


def packed_blocks(model: Vit) -> list[PackedBlock] | None:
    """`model`'s blocks in packed form; None for other blocks, or where oneDNN cannot do it."""
    if not _has_onednn(model.blocks[0].norm1.weight.dtype):
        return None
    made_from = fingerprint(model)
    found = _PACKED.get(model)
    if found is None or found[0] != made_from:
        fused = fuse(model)
        packed = None
        if fused is not None:
            packed = [_pack(block, fast) for block, fast in zip(model.blocks, fused, strict=True)]
        found = made_from, packed
        _PACKED[model] = found
    return found[1]


def _has_onednn(dtype: torch.dtype) -> bool:
    operators = torch.ops.mkldnn
    if not torch.backends.mkldnn.is_available() or not all(
        hasattr(operators, name) for name in ("_linear_pointwise", "_reorder_linear_weight")
    ):
        return False
    if dtype == torch.bfloat16:
        return bool(operators._is_mkldnn_bf16_supported())
    return dtype == torch.float32


def _pack(block: Vit, fast: FusedBlock) -> PackedBlock:
    dtype = fast.up.dtype
    return PackedBlock(
        fast.norm1,
        fast.norm2,
        _laid_out(block.attn.qkv.weight, block.attn.qkv.bias),
        _laid_out(fast.out, (fast.shift2 - fast.shift1).to(dtype)),
        _laid_out(fast.up, fast.up_bias),
        _laid_out(fast.down, (fast.shift3 - fast.shift2).to(dtype)),
    )


def _laid_out(weight: Tensor, bias: Tensor | None) -> Linear:
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), _ROWS)
    return Linear(packed, None if bias is None else bias.detach())


def _norm(tokens: Tensor, norm: Affine) -> Tensor:
    return F.layer_norm(tokens, tokens.shape[-1:], norm.weight, norm.bias, norm.eps)
