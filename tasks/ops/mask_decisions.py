"""`video_masks.py`, `edge_refine.py` and their decisions on a GPU, where the labels are.

The same formulas over whole frames: a box around an object, which saves a processor most of the
work, would have the GPU wait for its corners. Nothing is waited for before the masks are asked
for. Differences to the other arithmetic are those of float32, and at the rim of a box.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tasks.ops.edge_refine import COLOUR_NOISE, SURE
from tasks.ops.kinds import MaskRefinement
from tasks.ops.video_masks import BOX_LEVEL, HAZE, patch_of


class Decided(NamedTuple):
    """labels: (H, W) uint8 object numbers. areas: (K,) share of the frame each covers.

    confidence: () mean soft label over the objects' pixels, 0 where there are none.
    """

    labels: Tensor
    areas: Tensor
    confidence: Tensor


@torch.inference_mode()
def decide(
    image: Tensor,
    raster: Tensor,
    numbers: tuple[int, ...],
    *,
    method: MaskRefinement,
    by_area: bool,
) -> Decided:
    """Soft labels on a raster to the masks of a frame.

    Args:
        image: (H, W, 3) uint8. raster: (1 + K, h, w) float32, background first, same device.
        numbers: of the K objects. method: see `video_masks.refine_labels`. by_area: decide by
            `video_masks.decide_by_area`, else by `decide_by_range`.
    """
    height, width = image.shape[:2]
    soft = F.interpolate(raster[None], (height, width), mode="bilinear", align_corners=False)[0]
    planes = soft[1:] if method == "none" else _refined(image, soft[1:])
    names = torch.tensor([0, *numbers], dtype=torch.uint8, device=image.device)
    if by_area:
        best, winner = (planes / _thresholds(planes)[:, None, None]).max(dim=0)
        labels = names[torch.where(best > 1, winner + 1, 0)]
    else:
        if method != "none":
            background = (1 - planes.sum(dim=0)).clamp(0, 1)
            soft = torch.cat([background[None], planes])
        low, high = soft.amin(dim=(1, 2), keepdim=True), soft.amax(dim=(1, 2), keepdim=True)
        stretched = torch.where(high > 0, (soft - low) / (high - low).clamp(min=1e-6), 0)
        labels = names[stretched.argmax(dim=0)]
    inside = labels > 0
    sure = torch.where(inside, planes.amax(dim=0), 0).sum() / inside.sum().clamp(min=1)
    areas = (labels[None] == names[1:, None, None]).float().mean(dim=(1, 2))
    return Decided(labels, areas, sure)


def _refined(image: Tensor, planes: Tensor) -> Tensor:
    """(K, H, W) planes fitted to the picture within the box of each."""
    patch = patch_of(min(image.shape[:2]))
    colours = image.permute(2, 0, 1)[None].float() / 255
    fitted = _guided(colours, _follow(colours, planes, patch), max(1, patch // 2))
    active = planes > BOX_LEVEL
    rows = _span(active.any(dim=2), 4 * patch)
    cols = _span(active.any(dim=1), 4 * patch)
    return torch.where(rows[:, :, None] & cols[:, None, :], fitted, planes)


def _span(active: Tensor, margin: int) -> Tensor:
    """(K, n) bool: from the first to the last True of each row, and `margin` beyond."""
    places = torch.arange(active.shape[1], device=active.device)
    first = active.int().argmax(dim=1, keepdim=True)
    last = active.shape[1] - 1 - active.flip(1).int().argmax(dim=1, keepdim=True)
    span = (places >= first - margin) & (places <= last + margin)
    return span & active.any(dim=1, keepdim=True)


def _follow(colours: Tensor, planes: Tensor, radius: int, strength: float = 0.2) -> Tensor:
    """As `edge_refine.follow_colours`: colours (1, 3, H, W), planes (K, H, W)."""
    certain = planes.clamp(SURE, 1 - SURE)
    fits = [_fit(colours, weights[:, None], radius) for weights in (certain, 1 - certain)]
    odds = torch.log(certain / (1 - certain)) + strength * (fits[0] - fits[1])
    return torch.sigmoid(odds.clamp(-30, 30))


def _fit(colours: Tensor, weights: Tensor, radius: int) -> Tensor:
    means = _mean(torch.cat([weights, colours * weights, colours**2 * weights], dim=1), radius)
    total, mean, square = means.split([1, 3, 3], dim=1)
    total = total + 1e-4
    mean, square = mean / total, square / total
    variance = (square - mean**2).clamp(min=0) + COLOUR_NOISE**2
    return -0.5 * ((colours - mean) ** 2 / variance + variance.log()).sum(dim=1)


def _guided(colours: Tensor, planes: Tensor, radius: int, epsilon: float = 1e-4) -> Tensor:
    """As `edge_refine.guided_filter`, for all planes (K, H, W) at once."""
    pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    products = torch.cat([colours[:, i : i + 1] * colours[:, j : j + 1] for i, j in pairs], dim=1)
    mean, square = _mean(torch.cat([colours, products], dim=1), radius).split([3, 6], dim=1)
    soft = planes[:, None]
    level, mixed = _mean(torch.cat([soft, colours * soft], dim=1), radius).split([1, 3], dim=1)
    covariance = mixed - mean * level
    rr, rg, rb, gg, gb, bb = (
        square[:, n] - mean[:, i] * mean[:, j] + (epsilon if i == j else 0)
        for n, (i, j) in enumerate(pairs)
    )
    first = torch.stack([gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg], dim=1)
    second = torch.stack([first[:, 1], rr * bb - rb * rb, rg * rb - rr * gb], dim=1)
    third = torch.stack([first[:, 2], second[:, 2], rr * gg - rg * rg], dim=1)
    determinant = rr * first[:, 0] + rg * first[:, 1] + rb * first[:, 2]
    slope = torch.stack(
        [(row * covariance).sum(dim=1) / determinant for row in (first, second, third)], dim=1
    )
    offset = level - (slope * mean).sum(dim=1, keepdim=True)
    means = _mean(torch.cat([slope, offset], dim=1), radius)
    return ((means[:, :3] * colours).sum(dim=1) + means[:, 3]).clamp(0, 1)


def _thresholds(planes: Tensor) -> Tensor:
    """(K,), as `video_masks.decide_by_area` chooses them."""
    flat = planes.flatten(1)
    held = flat > HAZE
    count = held.sum(dim=1)
    area = torch.where(held, flat, 0).double().sum(dim=1).round().long()
    ordered = torch.where(held, flat, -1).sort(dim=1).values
    place = (flat.shape[1] - area - 1).clamp(min=0)
    found = ordered.gather(1, place[:, None])[:, 0].clamp(HAZE, 0.5)
    whole = torch.where(area == 0, 0.5, HAZE)
    return torch.where(area >= count, whole, found)


def _mean(values: Tensor, radius: int) -> Tensor:
    """(B, C, H, W) means over squares of 2 * radius + 1, mirrored at the borders."""
    side = 2 * radius + 1
    wide = torch.cat([values[..., :radius].flip(-1), values, values[..., -radius:].flip(-1)], -1)
    across = F.avg_pool2d(wide, (1, side), stride=1)
    top, bottom = across[..., :radius, :].flip(-2), across[..., -radius:, :].flip(-2)
    return F.avg_pool2d(torch.cat([top, across, bottom], dim=-2), (side, 1), stride=1)
