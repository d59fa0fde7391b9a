"""Ids, COCO entries and groups of discovered objects."""

import base64

import numpy as np

from tasks.discover import FoundImage, FoundObject, unpack_descriptor
from tasks.discover_results import coco_images, coco_result, group_objects, image_ids
from tasks.ops.rle import decode_rle, encode_rle

MASK = np.arange(12).reshape(3, 4) > 5


def found(descriptor: np.ndarray) -> FoundObject:
    packed = base64.b64encode(descriptor.astype(np.float16).tobytes()).decode()
    return FoundObject((1, 0, 4, 2.5), 0.75, encode_rle(MASK), packed)


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
