"""Descriptors at a fine stride from several passes at the patch's own, each shifted a little.

A pass at a stride below the patch size has that many more tokens and an attention of their
square. Passes over the same picture, cropped by multiples of the stride, have the same patches
between them at a cost that grows only linearly; a patch attends to those of its own pass.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from tasks.ops.kinds import FacetRequest, PositionResize
from tasks.ops.patch_grid import check_stride
from tasks.ops.vit import extract_facets
from tasks.ops.vit_embed import Vit


def extract_shifted(
    model: Vit,
    images: Tensor,
    requests: Sequence[FacetRequest],
    *,
    patch: int,
    stride: tuple[int, int],
    position_resize: PositionResize = "timm",
    attended: bool = False,
) -> dict[FacetRequest, Tensor]:
    """The requested facets on the grid of `stride`.

    Args:
        images: (B, 3, height, width), normalised, on the model's device and of its dtype.
        requests, position_resize, attended: see `vit.extract_facets`.
        patch: side of the model's patch in pixels; `stride` (vertical, horizontal) divides it.

    Returns:
        request -> (B, rows, cols, D), rows = 1 + (height - patch) // stride, cols alike: the
        grid of one strided pass.

    Raises:
        ValueError: a stride that does not divide the patch.
    """
    check_stride(patch, stride)
    height, width = images.shape[-2:]
    grid = 1 + (height - patch) // stride[0], 1 + (width - patch) // stride[1]
    steps = patch // stride[0], patch // stride[1]
    out: dict[FacetRequest, Tensor] = {}
    for down in range(min(steps[0], grid[0])):
        for right in range(min(steps[1], grid[1])):
            crop = images[..., down * stride[0] :, right * stride[1] :]
            crop = crop[..., : crop.shape[-2] // patch * patch, : crop.shape[-1] // patch * patch]
            facets = extract_facets(
                model,
                crop,
                requests,
                stride=(patch, patch),
                position_resize=position_resize,
                attended=attended,
            ).facets
            for request, values in facets.items():
                if request not in out:
                    shape = (values.shape[0], *grid, values.shape[-1])
                    out[request] = torch.zeros(shape, dtype=values.dtype, device=values.device)
                out[request][:, down :: steps[0], right :: steps[1]] = values
    return out
