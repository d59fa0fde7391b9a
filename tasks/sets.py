"""Which images belong together: a folder is a set, a folder of folders is many."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import PurePosixPath
from typing import Any

from storage.descriptors import DescriptorStore

# What flows themselves write below OUT; a set of that name gets another folder.
RESERVED = frozenset({"store", "report"})


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Images that are worked on together.

    name: of the folder of its results, below OUT. images: names in the store, sorted.
    """

    name: str
    images: tuple[str, ...]

    @property
    def stems(self) -> dict[str, str]:
        """Image name to the stem of its result files."""
        return result_stems(self.images)


def group_sets(names: Iterable[str], source: str) -> list[ImageSet]:
    """Group image names by their folder; those directly in the source are named after it.

    Every set has a folder of its own below OUT, and none lies in one that flows use themselves.
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        folder = str(PurePosixPath(name).parent)
        groups.setdefault(folder, []).append(name)
    sets: list[ImageSet] = []
    taken: set[str] = set()
    # Subfolders first: they keep their names, the source's own images give way.
    for folder, members in sorted(groups.items(), key=lambda group: (group[0] == ".", group)):
        wanted = _source_name(source) if folder == "." else folder
        first = wanted.partition("/")[0]
        if first in RESERVED:
            wanted = f"{first}-set" + wanted.removeprefix(first)
        unique = next(n for n in _numbered(wanted) if n not in taken)
        taken.add(unique)
        sets.append(ImageSet(unique, tuple(sorted(members))))
    return sorted(sets, key=lambda images: images.name)


def _source_name(source: str) -> str:
    last = PurePosixPath(source.rstrip("/").split("://")[-1]).name
    if last in ("", ".", "..") or any(char in last for char in "*?["):
        return "images"
    return last.removesuffix(".txt").removesuffix(".tar") or "images"


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}-{number}" for number in count(2))


def result_stems(names: Iterable[str]) -> dict[str, str]:
    """Image name to the stem of its result files: its own stem, or where that of another image
    clashes (a.jpg and a.png) the whole file name, in the end with a number.
    """
    ordered = list(names)
    shared = Counter(PurePosixPath(name).stem for name in ordered)
    taken = {stem for stem, times in shared.items() if times == 1}
    further: dict[str, Iterator[str]] = {}  # a million images may share one file name
    stems: dict[str, str] = {}
    for name in ordered:
        path = PurePosixPath(name)
        if shared[path.stem] == 1:
            stems[name] = path.stem
            continue
        candidates = further.setdefault(path.name, _numbered(path.name))
        stems[name] = next(stem for stem in candidates if stem not in taken)
        taken.add(stems[name])
    return stems


def work_key(
    store: DescriptorStore, names: Iterable[str], settings: dict[str, Any], code: str
) -> str:
    """What a set's result depends on, as a digest: descriptors, settings and code version.

    A result that carries the same key need not be made again.
    """
    digests = [(name, store.find(name).digest) for name in names]
    content = json.dumps([store.config_digest, digests, settings, code], sort_keys=True)
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
