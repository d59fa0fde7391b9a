"""Where one image lies, and which version of it."""

import posixpath
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

__all__ = [
    "IMAGE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "FoundFile",
    "ImageRef",
    "broken_ref",
    "is_hidden",
    "version_of",
]

IMAGE_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff"),
        *(".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif", ".tga"),
        # What telephones write. Pillow cannot decode it, and says so: better than to pass it over.
        *(".heic", ".heif"),
    }
)
_BROKEN = re.compile(r"#broken=(.*)#$", re.DOTALL)
VIDEO_SUFFIXES = frozenset(
    (
        *(".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts"),
        *(".3gp", ".wmv", ".flv", ".ogv"),
    )
)


@dataclass(frozen=True, slots=True)
class ImageRef:
    """Where one image lies.

    Attributes:
        name: path below the source's root with ``/``, unique in it.
        url: where to read it. ``#tar=offset:size`` points into an archive,
            ``#frame=stamp&seconds=t`` into a video; ``#broken=why#`` cannot be read. No image's
            own name ends like these.
        bytes: size of the file, or of the member.
        version: etag or modification time; another version is another image.
    """

    name: str
    url: str
    bytes: int
    version: str

    @property
    def why_broken(self) -> str | None:
        """Why it was listed as one that cannot be read, if it was."""
        match = _BROKEN.search(self.url)
        return None if match is None else match.group(1)


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
    def is_dangling(self) -> bool:
        """Whether it is a link whose target is not there."""
        return bool(self.info.get("dangling"))

    @property
    def ref(self) -> ImageRef:
        """The file as an image: its URL, size and version."""
        fs, info = self.fs, self.info
        local = "file" in fs.protocol
        url = info["name"] if local else fs.unstrip_protocol(info["name"])
        if self.is_dangling:
            return broken_ref(self.name, url, version_of(info), "a link that leads nowhere")
        return ImageRef(self.name, url, int(info["size"] or 0), version_of(info))


def broken_ref(name: str, url: str, version: str, why: str) -> ImageRef:
    """An image that cannot be read, so that a run tells of it and goes on."""
    return ImageRef(name, f"{url}#broken={why}#", 0, version)


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
