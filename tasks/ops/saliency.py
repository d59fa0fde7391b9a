"""Saliency of patches from the attention of the CLS token."""

from collections.abc import Sequence

import numpy as np


def saliency_from_attention(
    attention: np.ndarray, heads: Sequence[int] | None = None
) -> np.ndarray:
    """Amir et al. 2021: mean CLS attention over heads, min-max to [0, 1] an image.

    Models without a CLS token have no such row; `vit.extract_facets` gives the attention of
    the patches' mean query instead, and everything else is the same.

    Args:
        attention: (B, h, rows, cols), non-negative. heads: which to average; None means all.
            The paper takes 0, 2, 4, 5 of DINOv1 ViT-S/8.

    Returns:
        (B, rows, cols) float32. A constant map gives zeros: nothing stands out.

    Raises:
        ValueError: a head that the model lacks.
    """
    count = attention.shape[1]
    chosen = list(range(count)) if heads is None else list(heads)
    if not chosen or min(chosen) < 0 or max(chosen) >= count:
        raise ValueError(f"saliency heads must lie in 0..{count - 1}; got {chosen}")
    mean = attention[:, chosen].astype(np.float32).mean(axis=1)
    low = mean.min(axis=(1, 2), keepdims=True)
    spread = mean.max(axis=(1, 2), keepdims=True) - low
    # A spread of rounding errors is no saliency.
    usable = spread > 1e-6 * np.maximum(low + spread, 1e-12)
    scaled = (mean - low) / np.where(usable, spread, 1)
    return np.asarray(np.where(usable, scaled, 0), dtype=np.float32)
