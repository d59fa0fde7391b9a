"""Where one image lies, and which version of it."""

import posixpath
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

__all__ = ["IMAGE_SUFFIXES", "VIDEO_SUFFIXES", "FoundFile", "ImageRef", "is_hidden", "version_of"]

IMAGE_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff"),
        *(".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif", ".tga"),
    }
)
VIDEO_SUFFIXES = frozenset(
    (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts")
)


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


class FoundFile(NamedTuple):
    """A file of a source."""

    fs: Any
    info: dict[str, Any]
    name: str

    @property
    def suffix(self) -> str:
        """The end of the name, in lower case, e.g. ``.jpg``."""
        return posixpath.splitext(self.name)[1].lower()

    @property
    def ref(self) -> ImageRef:
        """The file as an image: its URL, size and version."""
        fs, info = self.fs, self.info
        local = "file" in fs.protocol
        url = info["name"] if local else fs.unstrip_protocol(info["name"])
        return ImageRef(self.name, url, int(info["size"] or 0), version_of(info))


def is_hidden(name: str) -> bool:
    """Whether a file or a folder above it is hidden."""
    return any(piece.startswith(".") for piece in name.split("/"))


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
