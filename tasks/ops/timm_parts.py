"""timm's parts, imported without PyTorch's compiler.

Importing timm loads `torch._dynamo`, with SymPy and Triton 150 MB and two seconds of every
process: torchvision asks for one of its functions, timm marks some of its own with
`torch.compiler.disable`. Nothing here is compiled, so both are looked up when they are called.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch._compile import _disable_dynamo

__all__ = [
    "Attention",
    "AttentionRope",
    "Block",
    "EvaAttention",
    "EvaBlock",
    "LayerScale",
    "Mlp",
    "PatchEmbed",
    "RotaryEmbeddingCat",
    "apply_rot_embed_cat",
    "timm",
]

_UTILS = "torch._dynamo.utils"


@contextmanager
def _compiler_later() -> Iterator[None]:
    """What is imported within gets the compiler's functions when it calls them."""
    if "torch._dynamo" in sys.modules:
        yield
        return
    at_once = torch.compiler.disable
    torch.compiler.disable = _disabled
    sys.modules[_UTILS] = _stand_in()
    try:
        import torchvision.ops  # noqa: F401
    finally:
        del sys.modules[_UTILS]
    try:
        yield
    finally:
        torch.compiler.disable = at_once


def _disabled(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:  # noqa: ARG001
    """As `torch.compiler.disable`, which PyTorch itself uses in this form."""
    return _disable_dynamo(fn, recursive)


def _stand_in() -> ModuleType:
    """In the place of `torch._dynamo.utils`, with the one function that torchvision takes."""

    def is_compile_supported(device: Any) -> Any:
        from torch._dynamo.utils import is_compile_supported

        return is_compile_supported(device)

    module = ModuleType(_UTILS)
    vars(module)["is_compile_supported"] = is_compile_supported
    return module


with _compiler_later():
    import timm
    from timm.layers import (
        AttentionRope,
        LayerScale,
        Mlp,
        PatchEmbed,
        RotaryEmbeddingCat,
        apply_rot_embed_cat,
    )
    from timm.layers.attention import Attention
    from timm.models.eva import EvaAttention, EvaBlock
    from timm.models.vision_transformer import Block
