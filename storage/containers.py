"""What is inside tar shards and videos, remembered for as long as they do not change."""

import errno
import posixpath
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from typing import NamedTuple

from storage.archives import list_members
from storage.errors import StorageError, UnreadableImageError
from storage.files import join, read_bytes, write_bytes
from storage.refs import IMAGE_SUFFIXES, VIDEO_SUFFIXES, FoundFile, ImageRef, broken_ref, is_hidden
from storage.sealed import decode_columns, decode_object, digest, encode_columns, seal, unseal

__all__ = ["FrameChoice", "Listings", "expand"]

_THREADS = 16
_FIELDS = ("url", "version", "choice", "images")


class FrameChoice(NamedTuple):
    """Which frames of videos are taken."""

    every: int = 1
    fps: float | None = None


class _Inside(NamedTuple):
    """An image in a container, as far as the container's own reference does not tell."""

    name: str
    url: str
    bytes: int


class Listings:
    """What was found inside containers, kept as ``STORE/listings/<digest>.json``.

    Listing a shard of a thousand images takes a thousand reads, and a video is read through;
    remembered, each takes one small read until its size or version changes.

    Args:
        store: the store's URL; it need not exist yet.
        write: whether what is found is kept; a dry run only reads.
    """

    def __init__(self, store: str, *, write: bool = True) -> None:
        self._folder = join(store, "listings")
        self._write = write

    def recall(self, container: ImageRef, choice: FrameChoice) -> list[ImageRef] | None:
        """What was found in this version of a container; None where that is not known."""
        file = self._file(container, choice)
        try:
            raw = decode_object(unseal(read_bytes(file), file), _FIELDS, file)
            rows = decode_columns(_Inside, raw["images"], file)
        except (FileNotFoundError, NotADirectoryError, StorageError):
            return None  # a damaged listing is made again
        if (raw["url"], raw["version"]) != (container.url, _stamp(container)):
            return None
        return [
            ImageRef(container.name + name, container.url + url, size, container.version)
            for name, url, size in rows
        ]

    def keep(self, container: ImageRef, choice: FrameChoice, images: list[ImageRef]) -> None:
        """Remember what is in this version of a container."""
        if not self._write:
            return
        name, url = len(container.name), len(container.url)
        rows = [_Inside(ref.name[name:], ref.url[url:], ref.bytes) for ref in images]
        value = {
            "url": container.url,
            "version": _stamp(container),
            "choice": choice,
            "images": encode_columns(_Inside, rows),
        }
        try:
            write_bytes(self._file(container, choice), seal(value))
        except UnicodeEncodeError:
            pass  # names of other encodings are listed anew
        except Exception as error:
            if not _is_refusal(error):
                raise
            self._write = False  # a store that may only be read has no need of them

    def _file(self, container: ImageRef, choice: FrameChoice) -> str:
        key = digest(container.url.encode("utf-8", "surrogatepass"), repr(tuple(choice)).encode())
        return join(self._folder, f"{key}.json")


def _is_refusal(error: Exception) -> bool:
    """Whether writing is not allowed, on a disk or by a bucket's server."""
    if isinstance(error, PermissionError) or getattr(error, "errno", None) == errno.EROFS:
        return True
    # adlfs and gcsfs pass their own errors on, with the answer's status.
    status = getattr(error, "status_code", getattr(error, "code", None))
    return status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def expand(
    files: Iterable[FoundFile], choice: FrameChoice, listings: Listings | None
) -> Iterator[ImageRef]:
    """Images as they are, archives and videos as what is in them, many at a time."""
    containers: list[FoundFile] = []
    for found in files:
        packed = found.suffix == ".tar" or found.suffix in VIDEO_SUFFIXES
        if packed and not found.is_dangling:
            containers.append(found)
        else:
            yield found.ref
    with ThreadPoolExecutor(_THREADS) as pool:
        for refs in pool.map(partial(_inside, choice, listings), containers):
            yield from refs


def _inside(choice: FrameChoice, listings: Listings | None, found: FoundFile) -> list[ImageRef]:
    known = None if listings is None else listings.recall(found.ref, choice)
    if known is not None:
        return known
    images = _in_archive(found) if found.suffix == ".tar" else _in_video(found, choice)
    if listings is not None and not any(ref.why_broken for ref in images):
        listings.keep(found.ref, choice, images)
    return images


def _in_archive(found: FoundFile) -> list[ImageRef]:
    archive = found.ref
    refs: list[ImageRef] = []
    for member in list_members(found.fs, found.info["name"]):
        if member.size < 0:
            # Named like the archive, so that a run tells of it and goes on.
            why = f"the archive breaks off after byte {member.offset}"
            refs.append(broken_ref(found.name, archive.url, archive.version, why))
        elif posixpath.splitext(member.name)[1].lower() in IMAGE_SUFFIXES and not is_hidden(
            member.name
        ):
            url = f"{archive.url}#tar={member.offset}:{member.size}"
            name = f"{found.name}/{member.name}"
            refs.append(ImageRef(name, url, member.size, archive.version))
    return refs


def _in_video(found: FoundFile, choice: FrameChoice) -> list[ImageRef]:
    from storage.frames import choose_frames, frame_times

    video = found.ref
    try:
        times = frame_times(found.fs, found.info["name"])
    except UnreadableImageError as error:
        return [broken_ref(found.name, video.url, video.version, error.reason)]
    return [
        ImageRef(
            f"{found.name}#{time.number:06d}",
            f"{video.url}#frame={time.stamp}&seconds={time.seconds:.3f}",
            0,
            video.version,
        )
        for time in choose_frames(times, every=choice.every, fps=choice.fps)
    ]


def _stamp(container: ImageRef) -> str:
    return f"{container.version} {container.bytes}"
