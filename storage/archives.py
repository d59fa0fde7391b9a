"""Images inside tar shards in WebDataset's layout, each read by its own range of bytes."""

import tarfile
from collections.abc import Iterator
from typing import Any, NamedTuple

from storage.errors import SourceError

__all__ = ["Member", "list_members"]

# Headers lie between the members: with small blocks a listing skips what it does not need.
_BLOCK = 64 * 1024


class Member(NamedTuple):
    """A regular file in an archive.

    Attributes:
        name: its path in the archive.
        offset, size: of its bytes in the archive's file; size -1 where the archive breaks off.
    """

    name: str
    offset: int
    size: int


def list_members(fs: Any, path: str) -> Iterator[Member]:
    """All regular files of an uncompressed tar, in order.

    An archive that breaks off gives the members before, and then one of size -1.

    Raises:
        SourceError: the file is no tar, or a compressed one.
    """
    with fs.open(path, "rb", block_size=_BLOCK) as file:
        try:
            archive = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115 - closed with the file
        except tarfile.ReadError as error:
            raise SourceError(
                f"{path}: not an uncompressed tar ({error}). A compressed one cannot be read at "
                "any place: decompress it first."
            ) from error
        yield from _members(archive, int(fs.size(path)))


def _members(archive: tarfile.TarFile, length: int) -> Iterator[Member]:
    end = 0
    try:
        for member in archive:
            if member.isreg():
                end = member.offset_data + member.size
                if end > length:
                    break
                yield Member(member.name.removeprefix("./"), member.offset_data, member.size)
            # A list of all members would grow with the archive.
            archive.members = []  # type: ignore[attr-defined]
        else:
            return
    except tarfile.TarError:
        pass
    yield Member("", end, -1)
