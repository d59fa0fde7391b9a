"""Nearest neighbours both ways from blocks of cosines, without the whole matrix."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from tasks.ops.similarity import Block

_EMPTY = "nearest neighbours need at least one patch on each side"


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


class NearestScan:
    """Nearest neighbours both ways, block by block as `similarity` yields them."""

    def __init__(self) -> None:
        self._targets: list[Tensor] = []
        self._similarities: list[Tensor] = []
        self._best: Tensor | None = None
        self._source: Tensor | None = None

    def add(self, block: Block) -> None:
        """Take the next block, in order of the source's patches.

        Raises:
            ValueError: no target patches.
        """
        start, values = block
        if not values.numel():
            raise ValueError(_EMPTY)
        similarity, target = values.max(dim=1)
        self._targets.append(target)
        self._similarities.append(similarity)
        highest, row = values.max(dim=0)
        if self._best is None or self._source is None:
            self._best, self._source = highest, row + start
            return
        better = highest > self._best
        self._source = torch.where(better, row + start, self._source)
        self._best = torch.where(better, highest, self._best)

    def result(self) -> Nearest:
        """What all blocks came to.

        Raises:
            ValueError: no blocks.
        """
        if self._best is None or self._source is None:
            raise ValueError(_EMPTY)
        similarity = torch.cat(self._similarities)
        return Nearest(torch.cat(self._targets), similarity, self._source, self._best)


def nearest_both_ways(blocks: Iterable[Block]) -> Nearest:
    """Scan blocks of cosines once.

    Raises:
        ValueError: no blocks, or no target patches.
    """
    scan = NearestScan()
    for block in blocks:
        scan.add(block)
    return scan.result()
