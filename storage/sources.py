"""What images a source holds: folder, glob, list file, tar shards, videos, on any fsspec URL."""

import posixpath
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from storage.archives import list_members
from storage.errors import SourceError, UnreadableImageError, is_storage_fault
from storage.files import basename, open_filesystem

__all__ = ["IMAGE_SUFFIXES", "ImageRef", "list_images"]

IMAGE_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff"),
        *(".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif", ".tga"),
    }
)
VIDEO_SUFFIXES = frozenset(
    (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts")
)
_GLOB = frozenset("*?[")
_CHOICE = re.compile(r"#(every|fps)=([0-9.]+)$")
_THREADS = 16


@dataclass(frozen=True, slots=True)
class ImageRef:
    """Where one image lies.

    Attributes:
        name: path below the source's root with ``/``, unique in it.
        url: where to read it. ``#tar=offset:size`` points into an archive,
            ``#frame=stamp&seconds=t`` into a video; ``#broken=why`` cannot be read.
        bytes: size of the file, or of the member.
        version: etag or modification time; another version is another image.
    """

    name: str
    url: str
    bytes: int
    version: str


class _Choice(NamedTuple):
    """Which frames of videos are taken."""

    every: int = 1
    fps: float | None = None


class _Found(NamedTuple):
    """A file of a source."""

    fs: Any
    info: dict[str, Any]
    name: str

    @property
    def suffix(self) -> str:
        return posixpath.splitext(self.name)[1].lower()


def list_images(source: str) -> list[ImageRef]:
    """All images of a source, sorted by name.

    Args:
        source: a folder (searched recursively), a glob (``**`` matches folders), a ``.txt`` file
            with one path or URL a line (relative to the file), or one file; a local path or any
            fsspec URL of those. Hidden files and folders are skipped. Files that end in ``.tar``
            (WebDataset's shards, not compressed) stand for the images in them, named
            ``shard.tar/member.jpg``. Videos stand for their frames, named ``clip.mp4#000120``,
            where the source names them itself or by a glob: all frames, or
            ``clip.mp4#every=10``, or ``clips/*.mp4#fps=2``.

    Raises:
        SourceError: nothing is there, there is no image in it, or it cannot be reached.
    """
    source = str(source)
    try:
        refs = sorted(_list(source), key=lambda ref: ref.name)
    except SourceError:
        raise
    except PermissionError as error:
        raise SourceError(
            f"{source}: access denied ({error}). Check the credentials that fsspec finds "
            "(environment, cloud identity) and the permission to list."
        ) from error
    except Exception as error:
        if not is_storage_fault(error) and not _names_credentials(error):
            raise
        raise SourceError(
            f"{source}: cannot be reached ({type(error).__name__}: {error}). Check the network, "
            "the endpoint (e.g. FSSPEC_S3 in the environment) and the credentials."
        ) from error
    if not refs:
        raise SourceError(
            f"{source}: no images there. Looked for files that end in "
            f"{', '.join(sorted(IMAGE_SUFFIXES))} or .tar; hidden files are skipped, and videos "
            "are read where they are named, e.g. by FOLDER/*.mp4."
        )
    return refs


def _names_credentials(error: Exception) -> bool:
    return "credential" in f"{type(error).__name__} {error}".lower()


def _list(source: str) -> Iterator[ImageRef]:
    source, choice = _split_choice(source)
    fs, path = open_filesystem(source)
    if not _GLOB.isdisjoint(source) and not fs.exists(path):
        return _expand(_of_glob(fs, path, source), choice)
    if not fs.exists(path):
        raise SourceError(
            f"{source}: no such file or folder. Expected a folder of images, a glob, a list "
            "file (.txt), a .tar, a video or an fsspec URL of one of those."
        )
    if fs.isdir(path):
        images = (found for found in _of_folder(fs, path) if found.suffix not in VIDEO_SUFFIXES)
        return _expand(images, choice)
    if path.endswith(".txt"):
        return _expand(_of_list_file(fs, path, source), choice)
    return _expand([_Found(fs, fs.info(path), basename(path))], choice)


def _split_choice(source: str) -> tuple[str, _Choice]:
    """A source without its choice of frames, and that choice."""
    match = _CHOICE.search(source)
    if match is None:
        return source, _Choice()
    kind, value = match.groups()
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if number <= 0 or (kind == "every" and number != int(number)):
        raise SourceError(
            f"{source}: expected #every=N (a whole number from 1 on) or #fps=RATE (above 0), "
            f"got #{kind}={value}."
        )
    choice = _Choice(every=int(number)) if kind == "every" else _Choice(fps=number)
    return source[: match.start()], choice


def _of_folder(fs: Any, root: str) -> Iterator[_Found]:
    prefix = root.rstrip("/") + "/"
    for path, info in fs.find(root, detail=True).items():
        name = path.removeprefix(prefix)
        if info["type"] == "file" and _is_wanted(name):
            yield _Found(fs, info, name)


def _of_glob(fs: Any, pattern: str, source: str) -> Iterator[_Found]:
    pieces = pattern.split("/")
    fixed = next(i for i, piece in enumerate(pieces) if not _GLOB.isdisjoint(piece))
    root = "/".join(pieces[:fixed]) + "/"
    found = fs.glob(pattern, detail=True)
    if not found:
        raise SourceError(f"{source}: nothing matches this pattern. Quote it in a shell.")
    for path, info in found.items():
        name = path.removeprefix(root)
        if info["type"] == "file" and _is_wanted(name):
            yield _Found(fs, info, name)


def _of_list_file(fs: Any, path: str, source: str) -> Iterator[_Found]:
    folder = posixpath.dirname(path)
    raw = fs.cat_file(path).decode("utf-8-sig").splitlines()
    lines = [(number, line.strip()) for number, line in enumerate(raw, start=1)]
    wanted = [(number, line) for number, line in lines if line and not line.startswith("#")]
    seen: set[str] = set()
    with ThreadPoolExecutor(_THREADS) as pool:
        for found in pool.map(partial(_of_line, fs, folder, source), wanted):
            if found.name not in seen:
                seen.add(found.name)
                yield found


def _of_line(fs: Any, folder: str, source: str, numbered: tuple[int, str]) -> _Found:
    number, line = numbered
    absolute = "://" in line or line.startswith("/")
    url = line if absolute else fs.unstrip_protocol(posixpath.normpath(f"{folder}/{line}"))
    target_fs, target = open_filesystem(url)
    name = target.removeprefix(folder + "/") if target_fs.protocol == fs.protocol else target
    try:
        return _Found(target_fs, target_fs.info(target), name.lstrip("/"))
    except FileNotFoundError as error:
        raise SourceError(
            f"{source}, line {number}: {line!r} does not exist. Paths are relative to the "
            "list file; remove the line or correct it."
        ) from error


def _is_wanted(name: str) -> bool:
    """Whether a file of a folder or a glob may hold images, by its name."""
    suffix = posixpath.splitext(name)[1].lower()
    return not _is_hidden(name) and (
        suffix in IMAGE_SUFFIXES or suffix in VIDEO_SUFFIXES or suffix == ".tar"
    )


def _is_hidden(name: str) -> bool:
    return any(piece.startswith(".") for piece in name.split("/"))


def _expand(files: Iterable[_Found], choice: _Choice) -> Iterator[ImageRef]:
    """Images as they are, archives and videos as what is in them, many at a time."""
    containers: list[_Found] = []
    for found in files:
        if found.suffix == ".tar" or found.suffix in VIDEO_SUFFIXES:
            containers.append(found)
        else:
            yield _ref(found)
    with ThreadPoolExecutor(_THREADS) as pool:
        for refs in pool.map(partial(_inside, choice), containers):
            yield from refs


def _inside(choice: _Choice, found: _Found) -> list[ImageRef]:
    return _in_archive(found) if found.suffix == ".tar" else _in_video(found, choice)


def _in_archive(found: _Found) -> list[ImageRef]:
    archive = _ref(found)
    refs: list[ImageRef] = []
    for member in list_members(found.fs, found.info["name"]):
        if member.size < 0:
            # Named like the archive, so that a run tells of it and goes on.
            why = f"the archive breaks off after byte {member.offset}"
            refs.append(ImageRef(found.name, f"{archive.url}#broken={why}", 0, archive.version))
        elif posixpath.splitext(member.name)[1].lower() in IMAGE_SUFFIXES and not _is_hidden(
            member.name
        ):
            url = f"{archive.url}#tar={member.offset}:{member.size}"
            name = f"{found.name}/{member.name}"
            refs.append(ImageRef(name, url, member.size, archive.version))
    return refs


def _in_video(found: _Found, choice: _Choice) -> list[ImageRef]:
    from storage.frames import choose_frames, frame_times

    video = _ref(found)
    try:
        times = frame_times(found.fs, found.info["name"])
    except UnreadableImageError as error:
        return [ImageRef(found.name, f"{video.url}#broken={error.reason}", 0, video.version)]
    return [
        ImageRef(
            f"{found.name}#{time.number:06d}",
            f"{video.url}#frame={time.stamp}&seconds={time.seconds:.3f}",
            0,
            video.version,
        )
        for time in choose_frames(times, every=choice.every, fps=choice.fps)
    ]


def _ref(found: _Found) -> ImageRef:
    fs, info = found.fs, found.info
    local = "file" in fs.protocol
    url = info["name"] if local else fs.unstrip_protocol(info["name"])
    return ImageRef(found.name, url, int(info["size"] or 0), version_of(info))


def version_of(info: dict[str, Any]) -> str:
    """The etag where the filesystem has one, else the time of the last change, ISO 8601 UTC."""
    for key in ("ETag", "etag", "md5Hash", "content_md5", "content_settings"):
        if isinstance(info.get(key), str):
            return str(info[key]).strip('"')
    for key in ("mtime", "LastModified", "last_modified", "updated", "created"):
        time = info.get(key)
        if isinstance(time, int | float):
            return datetime.fromtimestamp(time, UTC).isoformat(timespec="microseconds")
        if isinstance(time, datetime):
            return time.isoformat(timespec="microseconds")
        if isinstance(time, str) and time:
            return time
    return f"{info.get('size', 0)} bytes"
