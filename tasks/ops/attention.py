"""Softmax attention by the fastest exact kernel that the device has."""

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from tasks.ops import hopper

# The first that takes the input wins; PyTorch's own order has FlashAttention 2 before cuDNN,
# which is a quarter faster on the GPUs that have it.
_ORDER = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]

# Logits that are there at once on a processor.
_BLOCK = 2**20


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(query key' / sqrt(d)) value; the (n, n) matrix never exists.

    Args:
        query, key, value: (B, h, n, d) of any strides.

    Returns:
        (B, h, n, d).
    """
    if not query.is_cuda:
        if query.dtype == torch.bfloat16:
            return _by_blocks(query, key, value)
        return F.scaled_dot_product_attention(query, key, value)
    if hopper.is_hopper(query.device) and hopper.fits_attention(query, key, value):
        return hopper.attention(query, key, value)
    if query.dtype == torch.float32 or torch.cuda.get_device_capability(query.device)[0] < 9:
        return F.scaled_dot_product_attention(query, key, value)
    with sdpa_kernel(_ORDER, set_priority=True):
        return F.scaled_dot_product_attention(query, key, value)


def _by_blocks(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """As plain products, a head and a block of queries at a time, whose logits stay in cache.

    PyTorch's fused kernel multiplies bfloat16 on processors no faster than float32; these use
    the processor's own instructions and take 0.6 of its time. Logits are rounded to bfloat16.
    """
    batch, heads, count, dim = query.shape
    out = torch.empty(batch, count, heads, dim, dtype=query.dtype).transpose(1, 2)
    rows = max(1, _BLOCK // key.shape[2])
    scaled = query * dim**-0.5
    for image in range(batch):
        for head in range(heads):
            keys = key[image, head].float()
            keys = (keys - keys.mean(dim=0)).to(key.dtype).t()
            values = value[image, head].contiguous()
            for block, into in zip(
                scaled[image, head].split(rows), out[image, head].split(rows), strict=True
            ):
                into.copy_(torch.softmax(block.contiguous() @ keys, dim=-1) @ values)
    return out
