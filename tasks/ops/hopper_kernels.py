"""The Triton programs of `hopper.py`, which imports them when a GPU first needs them."""

import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

__all__ = ["TensorDescriptor", "attend", "norm"]


@triton.jit
def attend(
    queries,
    keys,
    values,
    out,
    redo,
    count,
    length,
    heads,
    scale,
    tile: tl.constexpr,
    step: tl.constexpr,
    width: tl.constexpr,
    stages: tl.constexpr,
    sane: tl.constexpr,
    again: tl.constexpr,
):
    """One tile of queries against all keys.

    The maximum of the last, partial tile of keys anchors a row's exponentials for good,
    so that no later tile waits for its own maximum and nothing is scaled again. That is
    exact as long as nothing overflows: bfloat16 has float32's range, and no logit lies
    80 above those of some ordinary tile. Should one, the row's sum tells; the tile is
    marked in `redo`, and a second launch does marked ones `again`, with a running maximum.
    """
    mark = redo + tl.program_id(1) * tl.num_programs(0) + tl.program_id(0)
    if again and tl.load(mark) == 0:
        return
    batch = tl.program_id(1) // heads
    head = tl.program_id(1) % heads
    row = tl.program_id(0) * tile
    q = queries.load([batch, head, row, 0]).reshape(tile, width)

    last = (length - 1) // step * step
    inside = (last + tl.arange(0, step))[None, :] < length
    s = tl.dot(q, keys.load([batch, head, last, 0]).reshape(step, width).T) * scale
    s = tl.where(inside, s, -float("inf"))
    top = tl.max(s, 1)
    p = tl.math.exp2(s - top[:, None])
    v = values.load([batch, head, last, 0]).reshape(step, width)
    total = tl.sum(p, 1)
    acc = tl.dot(p.to(v.dtype), v)
    for column in tl.range(0, last, step, num_stages=stages):
        k = keys.load([batch, head, column, 0]).reshape(step, width)
        s = tl.dot(q, k.T) * scale
        if again:
            higher = tl.maximum(top, tl.max(s, 1))
            shrink = tl.math.exp2(top - higher)
            total *= shrink
            acc *= shrink[:, None]
            top = higher
        p = tl.math.exp2(s - top[:, None])
        total += tl.sum(p, 1)
        v = values.load([batch, head, column, 0]).reshape(step, width)
        acc = tl.dot(p.to(v.dtype), v, acc)

    if not again:
        tl.store(mark, (tl.sum((total < sane).to(tl.int32), 0) < tile).to(tl.int8))
    acc = acc / total[:, None]
    rows = row + tl.arange(0, tile)
    base = out + (batch.to(tl.int64) * count * heads + head) * width
    at = rows[:, None] * (heads * width) + tl.arange(0, width)[None, :]
    tl.store(base + at, acc.to(out.dtype.element_ty), mask=rows[:, None] < count)


@triton.jit
def norm(
    tokens,
    shift,
    weight,
    bias,
    out,
    count,
    channels,
    eps,
    tile: tl.constexpr,
    block: tl.constexpr,
):
    """A few rows of tokens: the shift added, then the layer norm over `channels`."""
    rows = tl.program_id(0) * tile + tl.arange(0, tile)
    cols = tl.arange(0, block)
    used = cols < channels
    both = used[None, :] & (rows < count)[:, None]
    at = rows[:, None].to(tl.int64) * channels + cols[None, :]
    x = tl.load(tokens + at, mask=both, other=0.0).to(tl.float32)
    x += tl.load(shift + cols, mask=used, other=0.0)[None, :]
    x = tl.where(used[None, :], x - (tl.sum(x, 1) / channels)[:, None], 0.0)
    spread = tl.rsqrt(tl.sum(x * x, 1) / channels + eps)
    w = tl.load(weight + cols, mask=used, other=0.0).to(tl.float32)
    b = tl.load(bias + cols, mask=used, other=0.0).to(tl.float32)
    y = x * spread[:, None] * w[None, :] + b[None, :]
    tl.store(out + at, y.to(out.dtype.element_ty), mask=both)
