"""The GPU's arithmetic of masks against the processor's; here both on a processor."""

import numpy as np
import pytest
import torch

from tasks.ops.kinds import MaskRefinement
from tasks.ops.mask_decisions import decide
from tasks.ops.video_masks import decide_by_area, decide_by_range, refine_labels, to_frame

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def scene(objects: int) -> tuple[np.ndarray, np.ndarray]:
    """A noisy picture (68, 102, 3) with bright blocks, and their blurred labels on a raster."""
    rng = np.random.default_rng(objects)
    picture = rng.integers(0, 90, (68, 102, 3), dtype=np.uint8)
    raster = np.zeros((1 + objects, 17, 25), np.float32)
    for number in range(objects):
        left = 6 + 9 * number
        picture[16:44, 4 * left : 4 * left + 26] += np.uint8(120)
        raster[1 + number, 4:11, left : left + 6] = rng.uniform(0.3, 1, (7, 6))
    raster[0] = 1 - raster[1:].sum(axis=0)
    return picture, raster


@pytest.mark.parametrize("objects", [1, 2])
@pytest.mark.parametrize("method", ["colour", "none"])
@pytest.mark.parametrize("by_area", [True, False])
def test_masks_are_those_of_the_processor(
    objects: int, method: MaskRefinement, by_area: bool
) -> None:
    picture, raster = scene(objects)
    numbers = (3, 7)[:objects]
    soft = refine_labels(picture, to_frame(raster, 102, 68), method)
    expected = (decide_by_area if by_area else decide_by_range)(soft, numbers)
    found = decide(
        torch.from_numpy(picture).to(DEVICE),
        torch.from_numpy(raster).to(DEVICE),
        numbers,
        method=method,
        by_area=by_area,
    )
    labels = found.labels.cpu().numpy()
    assert (labels != expected).mean() < 0.002
    assert set(np.unique(labels)) == {0, *numbers}
    assert found.areas.tolist() == pytest.approx([(labels == n).mean() for n in numbers])
    sure = soft[1:].max(axis=0)[expected > 0].mean()
    assert float(found.confidence) == pytest.approx(sure, abs=2e-3)


def test_no_object_gives_an_empty_mask_without_confidence() -> None:
    picture, raster = scene(1)
    raster[1], raster[0] = 0, 1
    for by_area in (True, False):
        found = decide(
            torch.from_numpy(picture).to(DEVICE),
            torch.from_numpy(raster).to(DEVICE),
            (5,),
            method="colour",
            by_area=by_area,
        )
        assert not found.labels.any()
        assert float(found.confidence) == 0
        assert found.areas.tolist() == [0]
