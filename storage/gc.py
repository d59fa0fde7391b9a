"""What no commit and no reader needs any more, swept out after a time of grace."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from storage.commits import commit_file, decode_commit, list_commits
from storage.descriptors import DescriptorStore
from storage.errors import StoreCorruptError
from storage.files import join, list_folder, open_filesystem, read_bytes, remove
from storage.layout import Commit, attempt_time
from storage.snapshot import bucket_folder, generations, load_root, root_file

__all__ = ["GRACE_SECONDS", "GcReport", "gc", "uncommitted"]

GRACE_SECONDS = 24 * 3600.0
_THREADS = 16


@dataclass(frozen=True, slots=True)
class GcReport:
    """What `gc` removed, or would: uncommitted attempts, dead partitions, old indices."""

    attempts: int
    partitions: int
    indices: int


def gc(
    store: DescriptorStore, *, grace_seconds: float = GRACE_SECONDS, dry_run: bool = False
) -> GcReport:
    """Remove attempts that no commit names, partitions without a living image, old indices.

    Args:
        store: any store; others may go on using it.
        grace_seconds: younger things stay, since a writer may be about to commit them and a
            reader may still look at them. It must exceed the longest task and read.
        dry_run: only count.
    """
    url, deadline = store.url, time.time() - grace_seconds
    attempts = [
        (key, attempt) for key, attempt in uncommitted(url) if attempt_time(attempt) < deadline
    ]
    dead = _dead_partitions(store, deadline)
    old = _old_indices(url, deadline)
    if not dry_run:
        for key, attempt in attempts:
            remove(join(url, "partitions", key, attempt))
        for key in dead:
            # The commit first: a commit whose partition is gone would be an error.
            remove(commit_file(url, key))
            remove(join(url, "partitions", key))
        for file, folder in old:
            remove(file)
            remove(folder)
        _remove_partial_files(url, deadline)
        store.refresh()
    return GcReport(len(attempts), len(dead), len(old))


def uncommitted(url: str) -> Iterator[tuple[str, str]]:
    """(partition id, attempt) of every folder that no commit names."""
    keys = list_folder(join(url, "partitions"), "directory")
    with ThreadPoolExecutor(_THREADS) as pool:
        for attempts in pool.map(partial(_uncommitted_of, url), keys):
            yield from attempts


def _uncommitted_of(url: str, key: str) -> list[tuple[str, str]]:
    attempts = list_folder(join(url, "partitions", key), "directory")
    file = commit_file(url, key)
    try:
        counts = decode_commit(read_bytes(file), key, file).attempt
    except FileNotFoundError:
        counts = ""
    except StoreCorruptError:
        return []
    return [(key, attempt) for attempt in attempts if attempt != counts]


def _dead_partitions(store: DescriptorStore, deadline: float) -> list[str]:
    """Partitions that an index older than the deadline accounts for and has no use for.

    In the order in which they may be removed: what an entry supersedes goes before the entry,
    or a crash in between would bring the superseded one back.
    """
    url = store.url
    grown_up = [
        root
        for root in (load_root(url, number) for number in generations(url))
        if attempt_time(root.attempt) < deadline
    ]
    if not grown_up:
        return []
    root = grown_up[-1]
    living = store.refresh().partitions.keys() | root.partitions.keys()
    candidates = [key for key in list_commits(url) if key in root.covered and key not in living]
    commits = {}
    for key in candidates:
        file = commit_file(url, key)
        commit = decode_commit(read_bytes(file), key, file)
        # Commits of marks alone are small, and gone images must stay gone.
        if commit.images:
            commits[key] = commit
    return _superseded_first(commits)


def _superseded_first(commits: dict[str, Commit]) -> list[str]:
    order: list[str] = []
    done: set[str] = set()

    def visit(key: str) -> None:
        stack = [(key, iter(_supersedes(commits[key])))]
        done.add(key)
        while stack:
            current, older = stack[-1]
            step = next((k for k in older if k in commits and k not in done), None)
            if step is None:
                order.append(current)
                stack.pop()
            else:
                done.add(step)
                stack.append((step, iter(_supersedes(commits[step]))))

    for key in sorted(commits):
        if key not in done:
            visit(key)
    return order


def _supersedes(commit: Commit) -> list[str]:
    return sorted({old for record in commit.images for old in record.supersedes})


def _old_indices(url: str, deadline: float) -> list[tuple[str, str]]:
    """(root, folder) of generations that a newer one has replaced for longer than the grace."""
    roots = [load_root(url, number) for number in generations(url)]
    return [
        (
            root_file(url, root.generation),
            bucket_folder(url, root.generation, root.attempt),
        )
        for root, newer in pairwise(roots)
        if attempt_time(newer.attempt) < deadline
    ]


def _remove_partial_files(url: str, deadline: float) -> None:
    """Files that a killed writer left beside their place; only local disks have them."""
    fs, root = open_filesystem(url)
    if "file" not in fs.protocol:
        return
    for path, info in fs.find(root, detail=True).items():
        if path.endswith(".partial") and info["mtime"] < deadline:
            remove(path)
