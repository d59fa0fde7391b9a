"""Every byte of a store compared with what was committed, and damage set aside."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from storage.arrays import image_digest, shard_images
from storage.bases import basis_file, read_basis
from storage.commits import commit_file, decode_commit, list_commits
from storage.descriptors import DescriptorStore
from storage.errors import StoreCorruptError
from storage.files import join, list_folder, read_bytes, remove, write_bytes
from storage.gc import uncommitted
from storage.index import EMPTY, PartitionInfo, StoredImage, StoreIndex, resolve
from storage.layout import Commit
from storage.reader import SCALE_SUFFIX, open_array, read_rows
from storage.snapshot import generations, load_root, load_whole, root_file

__all__ = ["Problem", "VerifyReport", "verify"]

_THREADS = 16


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        where: the file, partition or image.
        what: in words.
        images: names that are affected.
    """

    where: str
    what: str
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What `verify` saw.

    Attributes:
        images, partitions, bytes: how much was read and agreed with its digests.
        problems: what was wrong.
        uncommitted: attempts that no commit names; no problem, `gc` removes them.
        repaired: whether what is damaged was set aside, for the next run to store again.
    """

    images: int
    partitions: int
    bytes: int
    problems: tuple[Problem, ...]
    uncommitted: int
    repaired: bool = False


def verify(store: DescriptorStore, *, repair: bool = False) -> VerifyReport:
    """Read every byte of a store and compare it with what was committed.

    Args:
        store: any store; others may go on using it.
        repair: set unreadable commits and indices aside, and drop damaged images, so that the
            next extraction stores them again. Nothing that is sound is touched.
    """
    index, problems = _sound_state(store.url, repair=repair)
    problems += _verify_bases(store, index, repair=repair)
    images = size = 0
    unmoored = {name for problem in problems for name in problem.images}
    for partition, members in zip(index.partitions.values(), index.members().values(), strict=True):
        found = _verify_partition(store.url, partition, members)
        bad = unmoored | {name for problem in found for name in problem.images}
        images += sum(image.name not in bad for image in members)
        size += sum(_bytes_of(partition) for image in members if image.name not in bad)
        problems += found
    damaged = sorted({name for problem in problems for name in problem.images})
    if repair and damaged:
        store.refresh()
        store.drop(damaged, "its stored bytes are damaged or missing")
        store.refresh()
    return VerifyReport(
        images,
        len(index.partitions),
        size,
        tuple(problems),
        len(list(uncommitted(store.url))),
        repaired=repair and bool(problems),
    )


def _sound_state(url: str, *, repair: bool) -> tuple[StoreIndex, list[Problem]]:
    """The state that the readable files give, and the files that are not."""
    problems: list[Problem] = []
    base = EMPTY
    for generation in generations(url)[-1:]:
        file = root_file(url, generation)
        try:
            base = load_whole(url, load_root(url, generation))
        except (StoreCorruptError, FileNotFoundError) as error:
            problems.append(Problem(file, f"the index is damaged: {error}"))
            if repair:
                _set_aside(file)
    commits: list[Commit] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for found in pool.map(partial(_read_commit, url), list_commits(url)):
            if isinstance(found, Problem):
                problems.append(found)
                if repair:
                    _set_aside(found.where)
            elif found is not None:
                commits.append(found)
    return resolve(base, commits), problems


def _read_commit(url: str, key: str) -> Commit | Problem | None:
    """A commit, or what is wrong with its file; None where `gc` has just removed it."""
    file = commit_file(url, key)
    try:
        return decode_commit(read_bytes(file), key, file)
    except FileNotFoundError:
        return None
    except StoreCorruptError as error:
        return Problem(file, f"the commit is damaged: {error}")


def _verify_bases(store: DescriptorStore, index: StoreIndex, *, repair: bool) -> list[Problem]:
    """Principal axes that are damaged or missing, with all that is stored along them."""
    used: set[str] = set()
    if store.info.config.get("pca") is not None:
        arrays = {spec.name for info in index.partitions.values() for spec in info.arrays}
        used = {
            array
            for array in arrays
            if array.startswith("descriptors") and not array.endswith(SCALE_SUFFIX)
        }
    files = list_folder(join(store.url, "bases"))
    there = {name.removesuffix(".npz") for name in files if name.endswith(".npz")}
    problems: list[Problem] = []
    for array in sorted(used | there):
        file = basis_file(store.url, array)
        try:
            if read_basis(store.url, array) is not None:
                continue
            what = "the axes that the images are stored along are missing"
        except StoreCorruptError as error:
            what = str(error)
            if repair:
                _set_aside(file)
        problems.append(Problem(file, what, tuple(index) if array in used else ()))
    return problems


def _set_aside(file: str) -> None:
    """Keep a damaged file under a name that no reader looks for."""
    write_bytes(f"{file}.damaged", read_bytes(file))
    remove(file)


def _verify_partition(
    url: str, partition: PartitionInfo, members: Sequence[StoredImage]
) -> list[Problem]:
    where = f"partition {partition.id}"
    names = tuple(image.name for image in members)
    try:
        arrays = {spec.name: open_array(url, partition, spec.name) for spec in partition.arrays}
    except StoreCorruptError as error:
        return [Problem(where, str(error), names)]
    step = min(shard_images(spec, partition.count) for spec in partition.arrays)
    problems: list[Problem] = []
    for start in range(0, len(members), step):
        chunk = members[start : start + step]
        problems += _verify_images(partition, arrays, chunk, where)
    return problems


def _verify_images(
    partition: PartitionInfo,
    arrays: dict[str, Any],
    members: Sequence[StoredImage],
    where: str,
) -> Iterator[Problem]:
    rows = [image.position for image in members]
    try:
        blocks = {name: read_rows(array, partition, rows) for name, array in arrays.items()}
    except StoreCorruptError as error:
        if len(members) == 1:
            yield Problem(where, str(error), (members[0].name,))
            return
        for image in members:
            yield from _verify_images(partition, arrays, [image], where)
        return
    for number, image in enumerate(members):
        found = image_digest({name: block[number] for name, block in blocks.items()})
        if found != image.digest:
            what = f"{image.name}: stored bytes have digest {found}, committed was {image.digest}"
            yield Problem(where, what, (image.name,))


def _bytes_of(partition: PartitionInfo) -> int:
    return sum(spec.nbytes for spec in partition.arrays)
