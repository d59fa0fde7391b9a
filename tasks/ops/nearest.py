"""Nearest neighbours both ways from blocks of cosines, without the whole matrix."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from tasks.ops.similarity import Block


class Nearest(NamedTuple):
    """Nearest neighbours between N source and M target patches.

    target: (N,) int64, the target patch nearest to every source patch; similarity: (N,)
    float32, its cosine. source: (M,) int64, the other way; back_similarity: (M,) float32.
    Between equals the first wins.
    """

    target: Tensor
    similarity: Tensor
    source: Tensor
    back_similarity: Tensor

    @property
    def mutual(self) -> Tensor:
        """(N,) bool: source patches whose nearest target has them as its nearest source."""
        return self.source[self.target] == torch.arange(len(self.target), device=self.target.device)


def nearest_both_ways(blocks: Iterable[Block]) -> Nearest:
    """Scan blocks of cosines, as `similarity` yields them, once.

    Raises:
        ValueError: no blocks, or no target patches.
    """
    targets: list[Tensor] = []
    similarities: list[Tensor] = []
    best: Tensor | None = None
    source: Tensor | None = None
    for start, values in blocks:
        if not values.numel():
            raise ValueError("nearest neighbours need at least one patch on each side")
        similarity, target = values.max(dim=1)
        targets.append(target)
        similarities.append(similarity)
        highest, row = values.max(dim=0)
        if best is None or source is None:
            best, source = highest, row + start
        else:
            better = highest > best
            source = torch.where(better, row + start, source)
            best = torch.where(better, highest, best)
    if best is None or source is None:
        raise ValueError("nearest neighbours need at least one patch on each side")
    return Nearest(torch.cat(targets), torch.cat(similarities), source, best)
