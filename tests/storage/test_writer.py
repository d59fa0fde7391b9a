"""Partitions of any arrays, whose first writer dies, as plain zarr reads them."""

import errno
import tempfile
from collections.abc import Callable

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import arrays, shards
from storage.descriptors import ArraySpec, DescriptorStore, Failure
from storage.planning import Partition, plan_partitions
from storage.refs import ImageRef
from storage.verify import verify

DTYPES = ("float16", "float32", "float64", "int8", "int16", "uint8")
SPECS = st.lists(
    st.tuples(st.lists(st.integers(1, 5), max_size=3), st.sampled_from(DTYPES)),
    min_size=1,
    max_size=3,
)
Images = dict[str, dict[str, np.ndarray]]


@settings(max_examples=25, deadline=None)
@given(
    specs=SPECS,
    broken=st.lists(st.booleans(), min_size=1, max_size=20),
    shard_images=st.integers(1, 8),
    shard_bytes=st.integers(1, 800),
    dies_after=st.integers(0, 6),
)
def test_plain_zarr_reads_what_a_second_writer_commits(
    specs: list[tuple[list[int], str]],
    broken: list[bool],
    shard_images: int,
    shard_bytes: int,
    dies_after: int,
) -> None:
    made = [
        ArraySpec(f"array{i}", tuple(f"axis{j}" for j in range(len(shape))), tuple(shape), dtype)
        for i, (shape, dtype) in enumerate(specs)
    ]
    refs = [ImageRef(f"{i:02d}", f"/{i:02d}", 1, "v") for i in range(len(broken))]
    images = {
        ref.name: {spec.name: values(spec, number) for spec in made}
        for number, (ref, bad) in enumerate(zip(refs, broken, strict=True))
        if not bad
    }
    with tempfile.TemporaryDirectory() as url, pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "_SHARD_IMAGES", shard_images)
        patch.setattr(arrays, "_SHARD_BYTES", shard_bytes)
        store = DescriptorStore.create_or_open(url, {}, {}, {})
        sized = [(ref, 9, 7, (2, 3)) for ref in refs]
        (partition,) = plan_partitions(sized, store.index(), "config", len(refs))
        with patch.context() as full:
            full.setattr(shards, "write_parts", full_after(dies_after))
            finished = write(store, partition, made, images)
        assert finished or store.committed(partition.id) is None
        assert finished or write(store, partition, made, images)
        expect(store, partition, made, images)


def values(spec: ArraySpec, seed: int) -> np.ndarray:
    """Any finite values but the one that stands for a lost shard."""
    rng, kind = np.random.default_rng(seed), np.dtype(spec.dtype)
    if kind.kind == "f":
        return (100 * rng.standard_normal(spec.shape)).astype(kind)
    least, most = np.iinfo(kind).min + 1, np.iinfo(kind).max
    return np.asarray(rng.integers(least, most, spec.shape, endpoint=True), dtype=kind)


def full_after(count: int) -> Callable[[str, list[bytes]], None]:
    """`write_parts` on a disk that takes no more than `count` shards."""
    real, written = shards.write_parts, []

    def write_parts(url: str, parts: list[bytes]) -> None:
        if len(written) == count:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(url)
        real(url, parts)

    return write_parts


def write(
    store: DescriptorStore, partition: Partition, specs: list[ArraySpec], images: Images
) -> bool:
    """Whether a writer came to its end."""
    writer = store.begin(partition, specs)
    failures = []
    try:
        for image in partition.images:
            if image.ref.name in images:
                writer.append(image.ref, 9, 7, images[image.ref.name])
            else:
                failures.append(Failure(image.ref, "broken"))
        writer.commit(failures)
    except OSError:
        return False
    return True


def expect(
    store: DescriptorStore, partition: Partition, specs: list[ArraySpec], images: Images
) -> None:
    store.refresh()
    assert set(store.index().images) == set(images)
    assert {mark.name for mark in store.index().failures} == {
        image.ref.name for image in partition.images if image.ref.name not in images
    }
    report = verify(store)
    assert (report.images, report.problems) == (len(images), ())
    if not images:
        return
    (info,) = store.index().partitions.values()
    group = zarr.open_group(f"{store.url}/partitions/{info.id}/{info.attempt}", mode="r")
    assert group.attrs["names"] == list(images)
    for spec in specs:
        read = group[spec.name][:]
        assert read.dtype == np.dtype(spec.dtype)
        np.testing.assert_array_equal(read, [image[spec.name] for image in images.values()])
