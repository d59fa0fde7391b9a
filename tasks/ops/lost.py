"""LOST (Siméoni et al. 2021, arXiv 2109.14279): grow an object from its least connected patch."""

import numpy as np
import torch
from torch import Tensor

from tasks.ops.boxes import component_at
from tasks.ops.discovery import Discovery, nothing, one_object, read_scene


def lost(
    descriptors: np.ndarray | Tensor,
    saliency: np.ndarray,
    *,
    neighbours: int = 100,
    center: bool = False,
) -> list[Discovery]:
    """Find one object an image.

    A = K K^T of descriptors as they are. The degree of p is the number of q != p with
    A(p, q) > 0. The seed has the lowest (the first of equals); S are those of the `neighbours`
    lowest degrees that correlate positively with it; the object is where A(., s) summed over S
    is positive, the component with the seed.

    Args:
        descriptors: (B, rows, cols, D). saliency: (B, rows, cols), for the scores.
        neighbours: the paper's k. center: subtract the image's mean descriptor first; needed
            where all descriptors point one way (DINOv2), as then no product is negative.

    Raises:
        ValueError: see `discovery.read_scene`.
    """
    scene = read_scene(descriptors, saliency)
    keys = scene.raw - scene.raw.mean(dim=1, keepdim=True) if center else scene.raw
    products = torch.bmm(keys, keys.mT)
    own = torch.diagonal(products, dim1=1, dim2=2) > 0
    degrees = ((products > 0).sum(dim=2) - own.long()).cpu().numpy()
    found: list[Discovery] = []
    for image, degree in enumerate(degrees):
        if degree.min() == degree.max():
            reason = "all patches are equally connected: nothing stands out"
            found.append(nothing(scene.shape, reason))
            continue
        order = np.argsort(degree, kind="stable")
        seed, lowest = int(order[0]), torch.from_numpy(order[:neighbours]).to(products.device)
        similar = lowest[products[image, seed, lowest] > 0]
        soft = products[image, similar].sum(dim=0).reshape(scene.shape).cpu().numpy()
        if not soft.flat[seed] > 0:
            found.append(nothing(scene.shape, "the seed resembles nothing", soft))
            continue
        mask = component_at(soft > 0, seed)
        found.append(one_object(mask, seed, soft, scene.saliency[image]))
    return found
