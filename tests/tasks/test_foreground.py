"""The object of drawn sets: found in all images, in spite of outliers, and warned about."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from storage.images import ImageRef
from tasks.config import CosegmentConfig
from tasks.foreground import cosegment
from tasks.ops.patch_grid import plan_grid, unit
from tasks.stored import ImageDescriptors

GRID = plan_grid(80, 64, patch=8, stride=(8, 8), size=64)
CONFIG = CosegmentConfig(sample_step=1)
OBJECT = np.zeros(GRID.shape, bool)
OBJECT[2:6, 3:8] = True


def image(number: int, kind: int = 1, *, salient: float = 0.5, cls: int = 0) -> ImageDescriptors:
    """Ground along axis 0, an object along axis `kind`, a CLS descriptor along axis `cls`."""
    rng = np.random.default_rng(number)
    axes = np.where(OBJECT, kind, 0)
    return ImageDescriptors(
        name=f"{number}.png",
        ref=ImageRef(f"{number}.png", "", 0, ""),
        grid=GRID,
        descriptors=unit(np.eye(16)[axes] + 0.05 * rng.normal(size=(*GRID.shape, 16))),
        saliency=np.where(OBJECT, salient, 0.02 * (salient > 0)).astype(np.float32),
        cls=np.eye(16)[cls] + 0.05 * rng.normal(size=16),
    )


@pytest.mark.parametrize("rule", ["consensus", "relative", "votes"])
def test_the_object_is_found_by_every_rule(rule: str) -> None:
    images = [image(i) for i in range(6)]
    maps = [one.descriptors for one in images]
    model, found = cosegment(images, CONFIG.replace(rule=rule), maps)
    for foreground in found:
        assert_array_equal(foreground > 0.5, OBJECT)
    assert model.warnings == ()
    assert model.likeness is not None
    assert model.likeness > 0.9


@pytest.mark.parametrize("rule", ["consensus", "relative", "votes"])
def test_an_outlier_is_left_out_and_harms_nobody(rule: str) -> None:
    images = [*(image(i) for i in range(6)), image(6, kind=2, cls=3)]
    config = CONFIG.replace(rule=rule, outlier_cosine=0.7)
    model, found = cosegment(images, config)
    assert [model.unlike(one.cls, config) for one in images] == [False] * 6 + [True]
    assert not found[6].any()
    for foreground in found[:6]:
        assert_array_equal(foreground > 0.5, OBJECT)
    # Without the option nothing is unlike.
    assert not any(model.unlike(one.cls, CONFIG) for one in images)


def test_identical_images_have_identical_masks() -> None:
    _, found = cosegment([image(3)] * 4, CONFIG)
    assert_array_equal(found[0] > 0.5, OBJECT)
    for foreground in found[1:]:
        assert_allclose(foreground, found[0], atol=1e-5)


def test_images_without_any_saliency_have_empty_masks_and_a_warning() -> None:
    model, found = cosegment([image(i, salient=0.0) for i in range(3)], CONFIG)
    assert not any(foreground.any() for foreground in found)
    assert model.warnings == (
        "no patch is salient: the images are blank or all alike; masks are empty",
    )


def test_images_without_a_common_object_get_what_is_salient_and_a_warning() -> None:
    images = [image(i, kind=1 + i) for i in range(6)]
    maps = [one.descriptors for one in images]
    model, found = cosegment(images, CONFIG, maps)
    assert model.likeness is not None
    assert model.likeness < 0.4
    assert "may not share an object" in model.warnings[-1]
    for change in ({"likeness_limit": 0}, {"weights": "random"}, {"also": ("8.token",)}):
        assert cosegment(images, CONFIG.replace(**change), maps)[0].warnings == ()
    for foreground in found:
        assert not (foreground > 0.5)[~OBJECT].any()


def test_a_model_of_some_images_decides_others() -> None:
    model, _ = cosegment([image(i) for i in range(4)], CONFIG)
    assert_array_equal(model.decide(unit(image(9).descriptors)) > 0.5, OBJECT)
