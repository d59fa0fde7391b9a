"""Kernels for Hopper GPUs (H100, H200): attention, and normalising a shifted residual.

Both are Triton programs; where there is no Triton or another GPU, `attention.py` and
`vit_fused.py` use PyTorch's own. With 64 channels a head the exponentials of a softmax cost as
much as its products, so that the kernel for attention saves what it can around them: see
`_attend`. 3,025 patches of ViT-S take 28 us an image and layer on an H100 (507 TFLOP/s),
cuDNN 37, PyTorch's FlashAttention 48, FlashAttention 3 28 (tests/benchmarks/RESULTS.md).
"""

import functools

import torch
from torch import Tensor

try:
    import triton
    import triton.language as tl
    from triton.tools.tensor_descriptor import TensorDescriptor
except ImportError:  # no Triton on this platform
    triton = None

HEAD_DIM = 64
_ROWS, _COLS, _STAGES, _WARPS = 128, 64, 4, 8
# Beyond this the sum of a row's exponentials says that its anchor was far too low.
_SANE = 2.0**64
_LOG2_E = 1.4426950408889634


@functools.cache
def is_hopper(device: torch.device) -> bool:
    """Whether `device` is a GPU that these kernels were made for."""
    if triton is None or device.type != "cuda":
        return False
    return torch.cuda.get_device_capability(device)[0] == 9


def fits_attention(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Whether `attention` takes these: bfloat16, 64 channels a head, whole tiles of memory."""
    aligned = all(
        t.stride(-1) == 1 and t.data_ptr() % 16 == 0 and all(s % 8 == 0 for s in t.stride()[:-1])
        for t in (query, key, value)
    )
    return (
        aligned
        and query.dtype == torch.bfloat16
        and query.shape[-1] == HEAD_DIM
        and query.shape[:2] == key.shape[:2]
        and query.shape[0] * query.shape[1] < 65_536
    )


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(query key' / sqrt(d)) value, exact, without its matrix.

    Args:
        query: (B, h, n, 64) bfloat16 of any strides, see `fits_attention`.
        key, value: (B, h, m, 64) likewise.

    Returns:
        (B, h, n, 64), laid out as (B, n, h, 64).
    """
    batch, heads, count, dim = query.shape
    length = key.shape[2]
    out = torch.empty(batch, count, heads, dim, dtype=query.dtype, device=query.device)
    tiles = [
        TensorDescriptor(t, list(t.shape), list(t.stride()), [1, 1, rows, dim])
        for t, rows in ((query, _ROWS), (key, _COLS), (value, _COLS))
    ]
    grid = triton.cdiv(count, _ROWS), batch * heads
    redo = torch.empty(grid, dtype=torch.int8, device=query.device)
    with torch.cuda.device(query.device):
        for again in (False, True):
            _attend[grid](
                *tiles,
                out,
                redo,
                count,
                length,
                heads,
                _LOG2_E / dim**0.5,
                tile=_ROWS,
                step=_COLS,
                width=dim,
                stages=_STAGES,
                sane=_SANE,
                again=again,
                num_warps=_WARPS,
                num_stages=_STAGES,
            )
    return out.transpose(1, 2)


def shifted_norm(tokens: Tensor, shift: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Layer norm of tokens (n, D) + shift (D,) in one pass over memory; float32 inside."""
    count, channels = tokens.shape
    out = torch.empty_like(tokens)
    with torch.cuda.device(tokens.device):
        _norm[(triton.cdiv(count, 4),)](
            tokens,
            shift,
            weight,
            bias,
            out,
            count,
            channels,
            eps,
            tile=4,
            block=triton.next_power_of_2(channels),
            num_warps=1 if channels <= 512 else 4,
        )
    return out


if triton is not None:

    @triton.jit
    def _attend(
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
    def _norm(
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
