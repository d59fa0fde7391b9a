"""What images a source holds: a folder, a glob, a list file, on any fsspec URL."""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from storage.errors import SourceError, is_storage_fault
from storage.files import basename, open_filesystem

__all__ = ["IMAGE_SUFFIXES", "ImageRef", "list_images"]

IMAGE_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff"),
        *(".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif", ".tga"),
    }
)
_GLOB = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class ImageRef:
    """Where one image lies.

    Attributes:
        name: path below the source's root with ``/``, unique in it.
        url: where to read it; ``#tar=offset:size`` and ``#frame=n`` point into a file.
        bytes: size of the file, or of the member.
        version: etag or modification time; another version is another image.
    """

    name: str
    url: str
    bytes: int
    version: str


def list_images(source: str) -> list[ImageRef]:
    """All images of a source, sorted by name.

    Args:
        source: a folder (searched recursively), a glob (``**`` matches folders), a ``.txt`` file
            with one path or URL a line (relative to the file), or one image file; a local path
            or any fsspec URL of those. Hidden files and folders are skipped.

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
            f"{', '.join(sorted(IMAGE_SUFFIXES))}; hidden files are skipped."
        )
    return refs


def _names_credentials(error: Exception) -> bool:
    return "credential" in f"{type(error).__name__} {error}".lower()


def _list(source: str) -> Iterator[ImageRef]:
    fs, path = open_filesystem(source)
    if not _GLOB.isdisjoint(source) and not fs.exists(path):
        return _of_glob(fs, path, source)
    if not fs.exists(path):
        raise SourceError(
            f"{source}: no such file or folder. Expected a folder of images, a glob, a list "
            "file (.txt) or an fsspec URL of one of those."
        )
    if fs.isdir(path):
        return _of_folder(fs, path)
    if path.endswith(".txt"):
        return _of_list_file(fs, path, source)
    return iter([_ref(fs, fs.info(path), basename(path))])


def _of_folder(fs: Any, root: str) -> Iterator[ImageRef]:
    prefix = root.rstrip("/") + "/"
    for path, info in fs.find(root, detail=True).items():
        name = path.removeprefix(prefix)
        if info["type"] == "file" and _is_image(name):
            yield _ref(fs, info, name)


def _of_glob(fs: Any, pattern: str, source: str) -> Iterator[ImageRef]:
    pieces = pattern.split("/")
    fixed = next(i for i, piece in enumerate(pieces) if not _GLOB.isdisjoint(piece))
    root = "/".join(pieces[:fixed]) + "/"
    found = fs.glob(pattern, detail=True)
    if not found:
        raise SourceError(f"{source}: nothing matches this pattern. Quote it in a shell.")
    for path, info in found.items():
        name = path.removeprefix(root)
        if info["type"] == "file" and _is_image(name):
            yield _ref(fs, info, name)


def _of_list_file(fs: Any, path: str, source: str) -> Iterator[ImageRef]:
    folder = posixpath.dirname(path)
    seen: set[str] = set()
    lines = fs.cat_file(path).decode("utf-8-sig").splitlines()
    for number, line in enumerate((raw.strip() for raw in lines), start=1):
        if not line or line.startswith("#"):
            continue
        absolute = "://" in line or line.startswith("/")
        url = line if absolute else fs.unstrip_protocol(posixpath.normpath(f"{folder}/{line}"))
        target_fs, target = open_filesystem(url)
        name = target.removeprefix(folder + "/") if target_fs is fs else target
        name = name.lstrip("/")
        if name in seen:
            continue
        seen.add(name)
        try:
            info = target_fs.info(target)
        except FileNotFoundError as error:
            raise SourceError(
                f"{source}, line {number}: {line!r} does not exist. Paths are relative to the "
                "list file; remove the line or correct it."
            ) from error
        yield _ref(target_fs, info, name)


def _is_image(name: str) -> bool:
    if any(piece.startswith(".") for piece in name.split("/")):
        return False
    return posixpath.splitext(name)[1].lower() in IMAGE_SUFFIXES


def _ref(fs: Any, info: dict[str, Any], name: str) -> ImageRef:
    local = "file" in fs.protocol
    url = info["name"] if local else fs.unstrip_protocol(info["name"])
    return ImageRef(name, url, int(info["size"] or 0), version_of(info))


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
