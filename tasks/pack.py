"""Facets made small before they are stored: along principal axes, in one byte a number."""

import numpy as np
import torch
from torch import Tensor

from storage.reader import SCALE_SUFFIX
from tasks.config import ExtractConfig
from tasks.ops.quantise import quantise_batch


def pack(
    name: str, values: Tensor, config: ExtractConfig, axes: np.ndarray | None = None
) -> dict[str, Tensor]:
    """The arrays that a facet becomes in the store, computed where it is.

    Args:
        name: of its array.
        values: (B, rows, cols, D) finite floats.
        config: whose ``dtype`` is applied, and ``pca`` through the axes.
        axes: (D, pca) float32 that it is projected on, if any.
    """
    if axes is not None:
        values = values.float() @ torch.from_numpy(axes).to(values.device)
    if config.dtype == "int8":
        integers, scale = quantise_batch(values)
        return {name: integers, name + SCALE_SUFFIX: scale}
    return {name: fitted(values, getattr(torch, config.dtype))}


def fitted(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Values as another float type, finite in it."""
    if dtype == torch.float16:
        # Artefact tokens of large models can pass float16's range; infinity would spoil cosines.
        values = values.clamp(-65504.0, 65504.0)
    return values.to(dtype)
