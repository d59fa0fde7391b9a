"""A ViT's residual stream, block by block: the general way, for every model that is supported."""

from collections.abc import Collection, Sequence
from typing import Protocol

from torch import Tensor

from tasks.ops.timm_parts import EvaBlock
from tasks.ops.vit_attention import Part, Projections, attend, project
from tasks.ops.vit_embed import Vit


class Stream(Protocol):
    """The tokens on their way through the blocks; each block is advanced through once, in turn."""

    def normed(self, layer: int) -> Tensor:
        """(B, n, D): the tokens after the block's first norm."""

    def project(self, layer: int, normed: Tensor, parts: Collection[Part]) -> Projections:
        """The block's projections of `normed`; see `vit_attention.project`."""

    def advance(self, layer: int, normed: Tensor, projections: Projections) -> None:
        """Go through the block, given `normed` and all its projections."""

    def tokens(self) -> Tensor:
        """(B, n, D): the tokens after the last block that was advanced through."""


class PlainStream:
    """Calls timm's modules one after the other. ropes: each layer's rotary embedding or None."""

    def __init__(
        self, blocks: Sequence[Vit], tokens: Tensor, ropes: Sequence[Tensor | None]
    ) -> None:
        self._blocks = blocks
        self._tokens = tokens
        self._ropes = ropes

    def normed(self, layer: int) -> Tensor:
        """See `Stream`."""
        normed: Tensor = self._blocks[layer].norm1(self._tokens)
        return normed

    def project(self, layer: int, normed: Tensor, parts: Collection[Part]) -> Projections:
        """See `Stream`."""
        return project(self._blocks[layer].attn, normed, parts)

    def advance(self, layer: int, normed: Tensor, projections: Projections) -> None:
        """See `Stream`."""
        block, tokens = self._blocks[layer], self._tokens
        attention = attend(block.attn, normed, projections, self._ropes[layer])
        if isinstance(block, EvaBlock):
            tokens = tokens + (attention if block.gamma_1 is None else block.gamma_1 * attention)
            mlp = block.mlp(block.norm2(tokens))
            self._tokens = tokens + (mlp if block.gamma_2 is None else block.gamma_2 * mlp)
        else:
            tokens = tokens + block.ls1(attention)
            self._tokens = tokens + block.ls2(block.mlp(block.norm2(tokens)))

    def tokens(self) -> Tensor:
        """See `Stream`."""
        return self._tokens
