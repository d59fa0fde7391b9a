"""Every method on pictures that are hard or empty: boxes and masks, or a reason, never an error."""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from storage.images import ImageRef
from tasks import discover_methods
from tasks.describe import describe
from tasks.discover_config import DiscoverConfig, Method
from tasks.discover_methods import batch_size, discover_images
from tasks.ops.objectness import learn_objectness
from tasks.ops.preprocess import one_colour
from tasks.stored import ImageDescriptors

TINY = DiscoverConfig(
    model="test_vit", weights="random", layer=5, stride=8, size=64, precision="float32", objects=3
)


def described(pictures: list[np.ndarray]) -> list[ImageDescriptors]:
    return [
        ImageDescriptors(
            name=str(i),
            ref=ImageRef(str(i), str(Path(str(i))), 0, ""),
            grid=one.grid,
            descriptors=one.arrays["descriptors"].astype(np.float32),
            saliency=one.arrays["saliency"],
            cls=None,
        )
        for i, one in enumerate(describe(pictures, TINY))
    ]


def painted(paint: Callable[[np.ndarray], None], width: int = 64, height: int = 48) -> np.ndarray:
    picture = np.full((height, width, 3), 200, dtype=np.uint8)
    paint(picture)
    return picture


def two_squares(picture: np.ndarray) -> None:
    picture[10:30, 6:24] = picture[10:30, 40:58] = (200, 30, 10)


def full(picture: np.ndarray) -> None:
    picture[1:-1, 1:-1] = np.random.default_rng(0).integers(0, 256, picture[1:-1, 1:-1].shape)


PICTURES = {
    "one colour": np.full((48, 64, 3), 200, dtype=np.uint8),
    "black": np.zeros((48, 64, 3), dtype=np.uint8),
    "two equal objects": painted(two_squares),
    "fills the image": painted(full),
    "3x3 patches": painted(two_squares, 24, 24),
    "a strip": painted(two_squares, 120, 30),
}


@pytest.mark.parametrize("method", get_args(Method))
def test_a_box_or_a_reason(method: Method) -> None:
    config = TINY.replace(method=method)
    images = described(list(PICTURES.values()))
    learned = learn_objectness((i.descriptors, i.saliency) for i in images)
    for (case, picture), image in zip(PICTURES.items(), images, strict=True):
        (found,) = discover_images([image], [picture], config, learned)
        assert len(found.masks) == len(found.boxes_xyxy) == len(found.on_grid.scores)
        if case in ("one colour", "black"):
            assert not len(found.masks)
            assert found.on_grid.reason == "the picture is of one colour"
        assert len(found.masks) or found.on_grid.reason
        for mask, (left, top, right, bottom) in zip(found.masks, found.boxes_xyxy, strict=True):
            assert mask.shape == picture.shape[:2]
            assert 0 <= left < right <= picture.shape[1]
            assert 0 <= top < bottom <= picture.shape[0]
            rows, cols = np.nonzero(mask)
            assert left <= cols.min() + 1
            assert cols.max() <= right
            assert top <= rows.min() + 1
            assert rows.max() <= bottom


def test_images_of_one_grid_together_give_what_each_gives() -> None:
    pictures = [PICTURES["two equal objects"], PICTURES["one colour"], PICTURES["fills the image"]]
    images = described(pictures)
    config = TINY.replace(method="token_cut")
    together = discover_images(images, pictures, config)
    for image, picture, one in zip(images, pictures, together, strict=True):
        (alone,) = discover_images([image], [picture], config)
        np.testing.assert_array_equal(one.masks, alone.masks)


@pytest.mark.parametrize("method", ["token_cut", "mask_cut", "deep_spectral"])
def test_a_graph_that_no_memory_holds_is_not_made(
    method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discover_methods, "MOST_CUT", 20)
    picture = PICTURES["two equal objects"]
    (found,) = discover_images(described([picture]), [picture], TINY.replace(method=method))
    assert not len(found.masks)
    assert "take a smaller --size, or --method objectness" in str(found.on_grid.reason)


def test_a_gpu_takes_as_many_as_its_memory_holds() -> None:
    gpu = TINY.replace(device="cuda")
    assert batch_size(TINY.replace(device="cpu"), 900) == 1
    assert batch_size(gpu, 4800) == 16  # 16 x 4,800^2 x 4 bytes are 1.5 GB
    assert batch_size(gpu, 16_384) == 4  # 1 GiB each
    assert batch_size(gpu, 65_536) == 1


def test_nothing_learned_is_the_reason() -> None:
    (image,) = described([PICTURES["two equal objects"]])
    (found,) = discover_images([image], [PICTURES["two equal objects"]], TINY, None)
    assert "no objects could be learned" in (found.on_grid.reason or "")
    assert not len(found.masks)


def test_artefacts_are_counted() -> None:
    (image,) = described([PICTURES["two equal objects"]])
    image.descriptors[2, 3] *= 40
    (found,) = discover_images(
        [image], [PICTURES["two equal objects"]], TINY.replace(method="lost")
    )
    assert found.artefacts == 1


def test_one_colour_allows_for_compression() -> None:
    noise = np.random.default_rng(0).integers(0, 4, (9, 9, 3), dtype=np.uint8)
    assert one_colour(100 + noise)
    assert not one_colour(PICTURES["two equal objects"])
