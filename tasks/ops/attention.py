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


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(query key' / sqrt(d)) value; the (n, n) matrix never exists.

    Args:
        query, key, value: (B, h, n, d) of any strides.

    Returns:
        (B, h, n, d).
    """
    if not query.is_cuda:
        return F.scaled_dot_product_attention(query, key, value)
    if hopper.is_hopper(query.device) and hopper.fits_attention(query, key, value):
        return hopper.attention(query, key, value)
    if query.dtype == torch.float32 or torch.cuda.get_device_capability(query.device)[0] < 9:
        return F.scaled_dot_product_attention(query, key, value)
    with sdpa_kernel(_ORDER, set_priority=True):
        return F.scaled_dot_product_attention(query, key, value)
