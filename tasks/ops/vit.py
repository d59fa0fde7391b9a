"""Dense descriptors of a Vision Transformer in one forward pass, without hooks.

Amir et al. 2021, section 3: a facet is what one attention layer gives for a patch. Any
number of (layer, facet) pairs comes out of one pass, which ends at the last layer that is
needed and computes there only the projections that are asked for.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tasks.ops.kinds import FacetRequest, PositionResize
from tasks.ops.timm_parts import Block, EvaBlock, PatchEmbed
from tasks.ops.vit_attention import (
    PARTS,
    SUPPORTED,
    Part,
    Projections,
    as_attended,
    attention_row,
    project,
)
from tasks.ops.vit_blocks import PlainStream, Stream
from tasks.ops.vit_embed import Vit, embed
from tasks.ops.vit_fused import FusedStream, fused_blocks
from tasks.ops.vit_packed import PackedStream, packed_blocks

__all__ = ["FacetRequest", "Features", "check_model", "extract_facets"]


class Features(NamedTuple):
    """What one pass gave for a batch.

    facets: request -> (B, rows, cols, D).
    cls: request -> (B, D), the CLS token's row of the same facet; empty without a CLS token.
    attention: (B, h, rows, cols) float32, the saliency query's attention to the patches after
        a softmax over all tokens; None unless asked for.
    """

    facets: dict[FacetRequest, Tensor]
    cls: dict[FacetRequest, Tensor]
    attention: Tensor | None


def check_model(model: Vit) -> None:
    """Raise TypeError, naming what is supported, unless `model` is a plain or rotary timm ViT."""
    blocks = getattr(model, "blocks", None)
    ok = (
        blocks is not None
        and all(isinstance(b, Block | EvaBlock) and isinstance(b.attn, SUPPORTED) for b in blocks)
        and isinstance(getattr(model, "patch_embed", None), PatchEmbed)
    )
    if not ok:
        raise TypeError(
            f"{type(model).__name__} is not supported: expected a timm VisionTransformer or Eva of "
            "pre-norm blocks with plain or rotary attention and a convolution as patch embedding "
            "(DINO, DINOv2, DINOv3, supervised, MAE, CLIP, SigLIP, EVA-02)"
        )


@torch.inference_mode()
def extract_facets(
    model: Vit,
    images: Tensor,
    requests: Sequence[FacetRequest],
    *,
    stride: tuple[int, int],
    position_resize: PositionResize = "timm",
    attended: bool = False,
    attention_layer: int | None = None,
) -> Features:
    """Run `model` once and return the requested facets.

    Args:
        model: a timm ViT that passes `check_model`, in eval mode.
        images: (B, 3, height, width), normalised, on the model's device and of its dtype.
        requests: which layers and facets; a token is the residual stream after the block,
            ``normed_token`` the same after the model's final norm.
        stride: (vertical, horizontal) step of the patch convolution in pixels; grid
            = 1 + (side - patch) // stride.
        position_resize: see `vit_embed.resize_positions`.
        attended: keys and queries as they enter the dot product (after query/key norm and
            rotation, for models that have them) rather than as projected.
        attention_layer: the layer whose CLS attention is wanted. Without a CLS token the mean
            of the patches' queries stands in for it.

    Raises:
        ValueError: a layer that the model lacks, or nothing requested.
    """
    depth = len(model.blocks)
    layers = [r.layer for r in requests] + ([] if attention_layer is None else [attention_layer])
    if not layers or min(layers) < 0 or max(layers) >= depth:
        raise ValueError(f"layers must lie in 0..{depth - 1} for this model; got {layers}")
    tokens, rope, grid = embed(model, images, stride, position_resize)
    stream = _open_stream(model, tokens, rope)
    collector = _Collector(model, grid, attended)
    last = max(layers)
    for layer in range(last + 1):
        wanted = {r.facet for r in requests if r.layer == layer}
        ends = layer == last and not wanted & {"token", "normed_token"}
        attn, normed = model.blocks[layer].attn, stream.normed(layer)
        facets: list[Part] = [p for p in PARTS if p in wanted]
        keys: list[Part] = ["key"] if layer == attention_layer else []
        projections = stream.project(layer, normed, {*facets, *keys} if ends else PARTS)
        layer_rope = _rope_of(model, rope, layer)
        for part in facets:
            collector.add_part(FacetRequest(layer, part), attn, projections, layer_rope)
        if layer == attention_layer:
            collector.add_attention(attn, normed, projections, layer_rope)
        if ends:
            break
        stream.advance(layer, normed, projections)
        if "token" in wanted:
            collector.add(FacetRequest(layer, "token"), stream.tokens())
        if "normed_token" in wanted:
            normed_token = collector.final_norm(stream.tokens())
            collector.add(FacetRequest(layer, "normed_token"), normed_token)
    return Features(collector.facets, collector.cls, collector.attention)


def _open_stream(model: Vit, tokens: Tensor, rope: Tensor | None) -> Stream:
    if rope is None and tokens.is_cuda and tokens.dtype in (torch.bfloat16, torch.float16):
        fused = fused_blocks(model)
        if fused is not None:
            return FusedStream(model, fused, tokens.contiguous())
    if rope is None and tokens.device.type == "cpu":
        packed = packed_blocks(model)
        if packed is not None:
            return PackedStream(model, packed, tokens)
    ropes = [_rope_of(model, rope, layer) for layer in range(len(model.blocks))]
    return PlainStream(model.blocks, tokens, ropes)


def _rope_of(model: Vit, rope: Tensor | None, layer: int) -> Tensor | None:
    mixed = getattr(model, "rope_mixed", False)
    return rope[layer] if rope is not None and mixed else rope


class _Collector:
    """Cuts prefix tokens off and shapes patches into the grid."""

    def __init__(self, model: Vit, grid: tuple[int, int], attended: bool) -> None:
        self.prefix = int(model.num_prefix_tokens)
        self.has_cls = model.cls_token is not None
        norm, fc_norm = model.norm, getattr(model, "fc_norm", None)
        self.final_norm = fc_norm if isinstance(norm, nn.Identity) and fc_norm else norm
        self.grid = grid
        self.attended = attended
        self.facets: dict[FacetRequest, Tensor] = {}
        self.cls: dict[FacetRequest, Tensor] = {}
        self.attention: Tensor | None = None

    def add(self, request: FacetRequest, tokens: Tensor) -> None:
        self.facets[request] = tokens[:, self.prefix :].unflatten(1, self.grid)
        if self.has_cls:
            self.cls[request] = tokens[:, 0]

    def add_part(
        self, request: FacetRequest, attn: Vit, parts: Projections, rope: Tensor | None
    ) -> None:
        part = next(p for p in PARTS if p == request.facet)
        flat = getattr(parts, part)
        if self.attended:
            flat = as_attended(attn, part, flat, rope).transpose(1, 2).flatten(2)
        self.add(request, flat)

    def add_attention(
        self, attn: Vit, normed: Tensor, parts: Projections, rope: Tensor | None
    ) -> None:
        if parts.key is None:
            raise RuntimeError("attention was asked for but no keys were projected")
        key = as_attended(attn, "key", parts.key, rope)
        if self.has_cls:
            # CLS is the first token: no rotation, and one projected row instead of n.
            flat = project(attn, normed[:, :1], ["query"]).query
            query = as_attended(attn, "query", flat, None) if flat is not None else key
        else:
            flat = (
                parts.query if parts.query is not None else project(attn, normed, ["query"]).query
            )
            heads = as_attended(attn, "query", flat, rope) if flat is not None else key
            query = heads[:, :, self.prefix :].mean(dim=2, keepdim=True)
        row = attention_row(query, key, float(attn.scale))
        self.attention = row[:, :, self.prefix :].unflatten(-1, self.grid)
