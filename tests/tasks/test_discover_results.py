"""Ids, COCO entries and groups of discovered objects."""

from pathlib import Path

import numpy as np

from tasks.discover_crops import crop
from tasks.discover_found import FoundImage, FoundObject, pack_descriptor, unpack_descriptor
from tasks.discover_groups import group_objects
from tasks.discover_results import coco_images, coco_result, image_ids, remove_gone
from tasks.ops.rle import decode_rle, encode_rle

MASK = np.arange(12).reshape(3, 4) > 5


def found(descriptor: np.ndarray) -> FoundObject:
    return FoundObject((1, 0, 4, 2.5), 0.75, encode_rle(MASK), pack_descriptor(descriptor))


def test_ids_come_from_the_names_where_these_are_numbered() -> None:
    assert image_ids(["a/000012.jpg", "COCO_train2014_000000000009.jpg"]) == [12, 9]
    assert image_ids(["cat.jpg", "7.jpg"]) == [1, 2]
    assert image_ids(["a/1.jpg", "b/1.jpg"]) == [1, 2]


def test_an_entry_is_a_coco_result() -> None:
    image = FoundImage("7.jpg", 4, 3, (found(np.ones(3)),))
    entry = coco_result(7, image, image.objects[0], 2)
    assert entry["bbox"] == [1, 0, 3, 2.5]
    assert (entry["image_id"], entry["category_id"], entry["score"]) == (7, 1, 0.75)
    segmentation = entry["segmentation"]
    assert isinstance(segmentation, dict)
    np.testing.assert_array_equal(decode_rle(segmentation["counts"], 3, 4), MASK)
    assert coco_images([image], [7])["images"] == [
        {"id": 7, "file_name": "7.jpg", "width": 4, "height": 3, "reason": None}
    ]


def test_objects_of_two_kinds_make_two_groups() -> None:
    rng = np.random.default_rng(0)
    kinds = np.eye(8)[[0] * 5 + [1] * 3] + 0.02 * rng.normal(size=(8, 8))
    images = [FoundImage(f"{i}.jpg", 4, 3, (found(kind),)) for i, kind in enumerate(kinds)]
    groups = group_objects(images, 2)
    assert [sorted(i for i, _ in g.members) for g in groups] == [[0, 1, 2, 3, 4], [5, 6, 7]]
    assert group_objects(images, 0) == []
    assert group_objects(images[:1], 5) == []
    np.testing.assert_allclose(unpack_descriptor(found(np.ones(3)).descriptor), 1)


def test_a_crop_is_the_square_around_a_box() -> None:
    picture = np.arange(100 * 60).reshape(100, 60)[..., None]
    # 20 x 40 at (30, 50): a square of 40 and a tenth more on every side.
    np.testing.assert_array_equal(crop(picture, np.array([20.0, 30, 40, 70])), picture[26:74, 6:54])
    # At the corner what lies outside is cut off; a box of no size still has a pixel.
    np.testing.assert_array_equal(crop(picture, np.array([50.0, 90, 60, 100])), picture[89:, 49:])
    assert crop(picture, np.array([60.0, 100, 60, 100])).shape == (1, 1, 1)


def test_what_is_left_of_images_that_are_gone_is_removed(tmp_path: Path) -> None:
    left = ["masks/a.png", "masks/b.png", "pictures/00000-boxes.jpg", "found/0000000/result.json"]
    gone = ["masks/c.png", "pictures/00002-boxes.jpg", "found/0000002/result.json"]
    for name in [*left, *gone, "pictures/mine.jpg"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    remove_gone(str(tmp_path), ("a", "b"))
    files = {str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*") if one.is_file()}
    assert files == {*left, "pictures/mine.jpg"}
