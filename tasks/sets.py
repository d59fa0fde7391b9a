"""Which images belong together: a folder is a set, a folder of folders is many."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
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


def group_sets(names: Iterable[str], source: str) -> list[ImageSet]:
    """Group image names by their folder; those directly in the source are named after it."""
    groups: dict[str, list[str]] = {}
    for name in names:
        folder = str(PurePosixPath(name).parent)
        groups.setdefault(folder, []).append(name)
    root = PurePosixPath(source.rstrip("/").split("://")[-1]).stem or "images"
    if any(char in root for char in "*?["):
        root = "images"
    return [
        ImageSet(_folder(root if folder == "." else folder), tuple(sorted(members)))
        for folder, members in sorted(groups.items())
    ]


def _folder(name: str) -> str:
    return f"{name}-set" if name in RESERVED else name


def result_stems(names: Iterable[str]) -> dict[str, str]:
    """Image name to the stem of its result files: its own stem, or where two images share one
    (a.jpg and a.png) the whole file name.
    """
    stems: dict[str, list[str]] = {}
    for name in names:
        stems.setdefault(PurePosixPath(name).stem, []).append(name)
    return {
        name: stem if len(members) == 1 else PurePosixPath(name).name
        for stem, members in stems.items()
        for name in members
    }


def work_key(
    store: DescriptorStore, names: Iterable[str], settings: dict[str, Any], code: str
) -> str:
    """What a set's result depends on, as a digest: descriptors, settings and code version.

    A result that carries the same key need not be made again.
    """
    digests = [(name, store.find(name).digest) for name in names]
    content = json.dumps([store.config_digest, digests, settings, code], sort_keys=True)
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
