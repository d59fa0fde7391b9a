"""The few verbs on files that everything else here is made of, on any fsspec URL."""

import contextlib
import os
import posixpath
import threading
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import fsspec
import zarr
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from storage.errors import StorageError

__all__ = [
    "basename",
    "create_exclusively",
    "exists",
    "is_local",
    "join",
    "list_folder",
    "open_filesystem",
    "read_bytes",
    "read_many",
    "remove",
    "write_bytes",
    "write_parts",
    "zarr_store",
]

# Buckets served by anything but AWS fail range reads with FlexibleChecksumError unless botocore
# is told to use checksums only where the protocol demands them.
_PLAIN_CHECKSUMS = {
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
}

_FILESYSTEMS: dict[str, Any] = {}
_LOCK = threading.Lock()


def _options(url: str) -> dict[str, Any]:
    """Options on top of fsspec's own configuration; credentials stay where fsspec finds them."""
    protocol = fsspec.core.split_protocol(url)[0]
    if protocol in ("s3", "s3a"):
        configured = fsspec.config.conf.get(protocol, {}).get("config_kwargs", {})
        # A cached listing would hide the commits of every other machine.
        return {
            "use_listings_cache": False,
            "config_kwargs": {**_PLAIN_CHECKSUMS, **configured},
        }
    if protocol in ("gs", "gcs", "abfs", "abfss", "az"):
        return {"use_listings_cache": False}
    return {}


def open_filesystem(url: str) -> tuple[Any, str]:
    """The fsspec filesystem of ``url`` and the path in it."""
    url = str(url)
    options = _options(url)
    try:
        if not options or "::" in url:
            return fsspec.url_to_fs(url, **options)
        fs = _shared_filesystem(url, options)
    except (ValueError, ImportError) as error:
        raise StorageError(
            f"{url}: no filesystem for this URL ({error}). Give a local path or a URL whose "
            "protocol fsspec knows; s3, gs and abfs need the extras of the same names."
        ) from error
    return fs, fs._strip_protocol(url)


def _shared_filesystem(url: str, options: dict[str, Any]) -> Any:
    """One client of a bucket for all threads; fsspec keeps one a thread, at a second each."""
    protocol = fsspec.core.split_protocol(url)[0]
    key = repr((os.getpid(), protocol, options, fsspec.config.conf.get(protocol)))
    with _LOCK:
        if key not in _FILESYSTEMS:
            _FILESYSTEMS[key] = fsspec.url_to_fs(url, **options)[0]
        return _FILESYSTEMS[key]


def is_local(url: str) -> bool:
    """Whether ``url`` lies on this machine's own disks."""
    return isinstance(open_filesystem(url)[0], LocalFileSystem)


def zarr_store(url: str, *, read_only: bool = False) -> Any:
    """A zarr store at ``url``; a local one renames each chunk into place."""
    fs, path = open_filesystem(url)
    if isinstance(fs, LocalFileSystem):
        return zarr.storage.LocalStore(path, read_only=read_only)
    return zarr.storage.FsspecStore.from_url(
        str(url), storage_options=_options(str(url)), read_only=read_only
    )


def join(url: str, *parts: str) -> str:
    """``url`` extended by relative parts.

    Raises:
        StorageError: a part is absolute, holds ``..`` or a protocol, and so could leave the
            folder; names come from file listings and archives, which anybody may have written.
    """
    joined = str(url).rstrip("/") or "/"
    for part in parts:
        pieces = part.replace("\\", "/").split("/")
        if part.startswith(("/", "\\")) or ".." in pieces or "::" in part or "\0" in part:
            raise StorageError(
                f"{part!r} would leave {url}. Give a relative name without '..' or '::'."
            )
        joined = posixpath.join(joined, *[piece for piece in pieces if piece not in ("", ".")])
    return joined


def basename(url: str) -> str:
    """The last piece of a URL or path."""
    return str(url).rstrip("/").rpartition("/")[2]


def exists(url: str) -> bool:
    """Whether a file or folder is at ``url``."""
    fs, path = open_filesystem(url)
    return bool(fs.exists(path))


def read_bytes(url: str, start: int | None = None, end: int | None = None) -> bytes:
    """The whole file, or bytes ``start`` to ``end`` (exclusive) of it."""
    fs, path = open_filesystem(url)
    return bytes(fs.cat_file(path, start=start, end=end))


def read_many(urls: Sequence[str]) -> list[bytes]:
    """Whole files of one filesystem, many requests at a time."""
    fs = open_filesystem(urls[0])[0]
    paths = [open_filesystem(url)[1] for url in urls]
    found = fs.cat(paths)
    return [found[path] for path in paths]


def write_bytes(url: str, data: bytes) -> None:
    """Write a file whole: a reader sees the old content or the new, never a part.

    Object stores do this by themselves; a local file is written beside its place and renamed.
    """
    fs, path = open_filesystem(url)
    if isinstance(fs, LocalFileSystem):
        with _written_beside(path, [data]) as beside:
            beside.replace(path)
    else:
        fs.pipe_file(path, data)


def write_parts(url: str, parts: Sequence[bytes]) -> None:
    """``write_bytes`` of parts that follow each other, without waiting for a local disk to sync.

    For large files that another one with their digests vouches for.
    """
    fs, path = open_filesystem(url)
    if isinstance(fs, LocalFileSystem):
        with _written_beside(path, parts, sync=False) as beside:
            beside.replace(path)
    else:
        fs.pipe_file(path, b"".join(parts))


def create_exclusively(url: str, data: bytes) -> bool:
    """Write a file unless one is there; False where another writer was first.

    Local files are hard-linked into place and the large clouds honour a conditional PUT, so
    exactly one of many writers gets True. A server that ignores the condition is checked before
    and read back after, which leaves a gap of one request; then the last of two writers stands,
    and both get the answer that fits, as each reads what stands.
    """
    fs, path = open_filesystem(url)
    if isinstance(fs, LocalFileSystem):
        return _link_into_place(path, data)
    if fs.exists(path):
        return bytes(fs.cat_file(path)) == data
    # Where it exists after all, our own first try may have arrived and its answer was lost.
    with contextlib.suppress(FileExistsError):
        fs.pipe_file(path, data, mode="create")
    return bytes(fs.cat_file(path)) == data


def _link_into_place(path: str, data: bytes) -> bool:
    with _written_beside(path, [data]) as beside:
        try:
            os.link(beside, path)
        except FileExistsError:
            return False
        return True


@contextlib.contextmanager
def _written_beside(path: str, parts: Sequence[bytes], *, sync: bool = True) -> Iterator[Path]:
    """A hidden file next to ``path``, written whole and, if it is to ``sync``, durably.

    Whatever of it was not renamed goes, so that a disk that ran full is not left fuller.
    """
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = place.with_name(f".{place.name}.{uuid.uuid4().hex[:12]}.partial")
    try:
        with beside.open("wb") as file:
            file.writelines(parts)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        yield beside
    finally:
        beside.unlink(missing_ok=True)


def list_folder(url: str, kind: Literal["file", "directory"] = "file") -> list[str]:
    """Names (not paths) directly in a folder, sorted; empty where there is no such folder.

    Links of a local disk count as what they lead to.
    """
    fs, path = open_filesystem(url)
    try:
        entries = fs.ls(path, detail=True)
    except FileNotFoundError:
        return []
    names = (basename(entry["name"]) for entry in entries if _kind(entry) == kind)
    return sorted(name for name in names if not name.startswith("."))


def _kind(entry: dict[str, Any]) -> str:
    if not entry.get("islink"):
        return str(entry["type"])
    target = Path(entry["name"])
    return "directory" if target.is_dir() else "file" if target.is_file() else "broken link"


def remove(url: str) -> None:
    """Delete a file or a whole folder; nothing happens where there is none."""
    fs, path = open_filesystem(url)
    try:
        if isinstance(fs, LocalFileSystem | MemoryFileSystem):
            fs.rm(path, recursive=True)
        elif files := fs.find(path):
            # Folders are no objects: asking a bucket to delete them costs seconds.
            fs.rm(files)
    except FileNotFoundError:
        return
