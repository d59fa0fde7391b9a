"""Queries, keys and values of timm's attention classes, and attention without its matrix.

timm computes the projections in four ways (one fused linear; a fused weight with separate
biases; three linears; fewer key heads than query heads). Here each becomes one (weight, bias)
per part, so that only the projections that are asked for are computed.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from tasks.ops.attention import attention
from tasks.ops.timm_parts import Attention, AttentionRope, EvaAttention, apply_rot_embed_cat
from tasks.ops.vit_embed import Vit

Part = Literal["query", "key", "value"]
PARTS: tuple[Part, ...] = ("query", "key", "value")
SUPPORTED = (Attention, AttentionRope, EvaAttention)


class Projections(NamedTuple):
    """Linear projections of the tokens, (B, n, D) each, or None where not asked for."""

    query: Tensor | None
    key: Tensor | None
    value: Tensor | None


def project(attn: Vit, tokens: Tensor, parts: Iterable[Part]) -> Projections:
    """Project normed `tokens` (B, n, D_in) to the wanted parts, heads concatenated.

    What timm's ``qkv`` linear gives, before query/key norms and before rotation.
    """
    wanted = set(parts)
    if wanted == set(PARTS) and attn.qkv is not None:
        return Projections(*F.linear(tokens, attn.qkv.weight, _fused_bias(attn)).chunk(3, dim=-1))
    linears = _linears(attn)
    outputs = {p: F.linear(tokens, *linears[p]) if p in wanted else None for p in PARTS}
    return Projections(**outputs)


def _fused_bias(attn: Vit) -> Tensor | None:
    if attn.qkv.bias is not None or getattr(attn, "q_bias", None) is None:
        return attn.qkv.bias
    return torch.cat([attn.q_bias, attn.k_bias, attn.v_bias])


def _linears(attn: Vit) -> dict[Part, tuple[Tensor, Tensor | None]]:
    if attn.qkv is None:
        layers = {"query": attn.q_proj, "key": attn.k_proj, "value": attn.v_proj}
        return {p: (layers[p].weight, layers[p].bias) for p in PARTS}
    weights = attn.qkv.weight.chunk(3)
    if attn.qkv.bias is not None:
        biases: tuple[Tensor | None, ...] = attn.qkv.bias.chunk(3)
    elif getattr(attn, "q_bias", None) is not None:
        biases = (attn.q_bias, attn.k_bias, attn.v_bias)
    else:
        biases = (None, None, None)
    return {p: (weights[i], biases[i]) for i, p in enumerate(PARTS)}


def split_heads(flat: Tensor, heads: int) -> Tensor:
    """(B, n, h d) to (B, h, n, d), a view."""
    return flat.unflatten(-1, (heads, -1)).transpose(1, 2)


def as_attended(attn: Vit, part: Part, flat: Tensor, rope: Tensor | None) -> Tensor:
    """Split a projection (B, n, D) into heads as it enters the dot product: (B, h, n, d).

    Applies timm's query/key norm and, to all but the prefix tokens, the rotary embedding
    `rope`. Values are only split.
    """
    heads = split_heads(flat, flat.shape[-1] // attn.head_dim)
    if part == "value":
        return heads
    heads = attn.q_norm(heads) if part == "query" else attn.k_norm(heads)
    if rope is None:
        return heads
    prefix = int(attn.num_prefix_tokens)
    half = bool(getattr(attn, "rotate_half", False))
    rotated = apply_rot_embed_cat(heads[:, :, prefix:], rope, half=half)
    return torch.cat([heads[:, :, :prefix], rotated], dim=2).type_as(flat)


def attend(attn: Vit, tokens: Tensor, parts: Projections, rope: Tensor | None) -> Tensor:
    """The attention layer's output (B, n, D) from all its projections, by fused attention."""
    query, key, value = (
        as_attended(attn, part, flat, rope)
        for part, flat in zip(PARTS, parts, strict=True)
        if flat is not None
    )
    groups = query.shape[1] // key.shape[1]
    out = attention(query, _repeat(key, groups), _repeat(value, groups))
    out = attn.norm(out.transpose(1, 2).flatten(2))
    gate = getattr(attn, "gate", None)
    if gate is not None:
        out = out * gate(tokens).sigmoid()
    return attn.proj(out)


def attention_row(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """Attention of one query to all keys: softmax over n.

    Args:
        query: (B, h, 1, d).
        key: (B, h or fewer, n, d).
        scale: what the logits are multiplied by, 1 / sqrt(d).

    Returns:
        (B, h, n) float32; each row sums to 1. The (n, n) matrix never exists.
    """
    key = _repeat(key, query.shape[1] // key.shape[1])
    if key.is_cuda and key.dtype in (torch.bfloat16, torch.float16):
        # A product for each head reads the keys where they are: no copy of them in float32.
        rows = [
            torch.bmm(key[:, head], query[:, head].transpose(-2, -1), out_dtype=torch.float32)
            for head in range(key.shape[1])
        ]
        return (torch.stack(rows, dim=1).squeeze(-1) * scale).softmax(dim=-1)
    logits = (query.float() * scale) @ key.float().transpose(-2, -1)
    return logits.softmax(dim=-1).squeeze(2)


def _repeat(heads: Tensor, groups: int) -> Tensor:
    return heads if groups == 1 else heads.repeat_interleave(groups, dim=1)
