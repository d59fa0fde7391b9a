"""How many task runs large sources make."""

from collections.abc import Iterator

import pytest

from storage.images import ImageRef
from storage.index import StoreIndex
from storage.planning import compare, plan_partitions
from tasks.bundles import LARGEST, bundle_size, bundles, in_turn
from tasks.config import ExtractConfig
from tasks.discover_config import DiscoverConfig
from tasks.sets import ImageSet, group_sets

IMAGES = 100_000


def listing(folders: int) -> Iterator[ImageRef]:
    for i in range(IMAGES):
        yield ImageRef(f"{i % folders:05d}/{i:06d}.jpg", f"/{i}", 1, "v1")


def sets_of(*sizes: int) -> list[ImageSet]:
    return [ImageSet(f"set{n}", tuple(map(str, range(size)))) for n, size in enumerate(sizes)]


def cut(*sizes: int) -> list[list[int]]:
    return [[len(s.images) for s in bundle.sets] for bundle in bundles(sets_of(*sizes))]


def test_few_sets_have_a_task_each() -> None:
    assert cut(30, 1, 70) == [[30], [1], [70]]
    assert cut() == []
    assert [bundle.name for bundle in bundles(sets_of(3, 1))] == [
        "set0, 3 images",
        "set1, 1 images",
    ]


def test_bundles_keep_the_order_and_grow_with_the_source() -> None:
    # 500 images in all: a fiftieth is 10, so 16 a task, and a larger set by itself.
    sizes = [4, 6, 7, 18, *[1] * 465]
    found = cut(*sizes)
    assert found[:4] == [[4, 6], [7], [18], [1] * 16]
    assert [size for bundle in found for size in bundle] == sizes
    first = bundles(sets_of(*sizes))[0]
    assert (first.name, first.images) == ("set0 to set1, 2 sets, 10 images", 10)
    assert bundle_size(3_200, 64) == 64
    assert (bundle_size(3_201, 64), bundle_size(6_400, 64)) == (128, 128)
    assert bundle_size(10**9, 64) == 2048 >= LARGEST > 1024


@pytest.mark.parametrize("folders", [1, 40_000])
def test_a_pipeline_of_100_000_images_makes_fewer_than_1000_task_runs(folders: int) -> None:
    """Extraction for two kinds of descriptors, then masks and discovery."""
    refs = list(listing(folders))
    todo = compare(refs, StoreIndex()).todo
    config = ExtractConfig()
    sized = ((ref, 32, 32, (2, 2)) for ref in todo)
    partitions = plan_partitions(sized, StoreIndex(), "digest", config.partition_size)
    assert sum(len(partition.images) for partition in partitions) == IMAGES
    sets = bundles(group_sets((ref.name for ref in refs), "in"))
    assert sum(bundle.images for bundle in sets) == IMAGES
    blocks = -(-IMAGES // bundle_size(IMAGES, DiscoverConfig().block))
    # What else a flow does (plan, list, group, learn, report, summary) is one task each.
    assert 2 * len(partitions) + len(sets) + blocks + 30 < 1000


def test_one_that_fails_does_not_keep_the_others_from_being_done() -> None:
    done = []

    def work(item: int) -> int:
        if item < 0:
            raise ValueError(f"no {item}")
        if item == 0:
            raise ConnectionResetError("gone")
        done.append(item)
        return item * 2

    assert in_turn(work, [1, 2]) == (2, 4)
    with pytest.raises(ValueError, match="no -1"):
        in_turn(work, [3, -1, 4])
    with pytest.raises(ExceptionGroup, match="2 of 3 in one task failed") as group:
        in_turn(work, [-1, 5, -2])
    assert [str(error) for error in group.value.exceptions] == ["no -1", "no -2"]
    # Storage that is down would only fail the next ones, slowly: the task tries again.
    with pytest.raises(ConnectionResetError):
        in_turn(work, [6, 0, 7])
    assert done == [1, 2, 3, 4, 5, 6]
