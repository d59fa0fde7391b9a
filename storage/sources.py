"""What images a source holds: folder, glob, list file, tar shards, videos, on any fsspec URL."""

import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import Any

from storage.containers import FrameChoice, Listings, expand
from storage.errors import SourceError, is_storage_fault
from storage.files import basename, open_filesystem
from storage.refs import IMAGE_SUFFIXES, VIDEO_SUFFIXES, FoundFile, ImageRef, broken_ref, is_hidden

__all__ = ["IMAGE_SUFFIXES", "ImageRef", "list_images"]

_GLOB = frozenset("*?[")
_CHOICE = re.compile(r"#(every|fps)=([0-9.]+)$")
_THREADS = 16


def list_images(source: str, listings: Listings | None = None) -> list[ImageRef]:
    """All images of a source, sorted by name.

    Args:
        source: a folder (searched recursively), a glob (``**`` matches folders), a ``.txt`` file
            with one path or URL a line (relative to the file), or one file; a local path or any
            fsspec URL of those. Hidden files and folders are skipped. Files that end in ``.tar``
            (WebDataset's shards, not compressed) stand for the images in them, named
            ``shard.tar/member.jpg``. Videos stand for their frames, named ``clip.mp4#000120``,
            where the source names them itself or by a glob: all frames, or
            ``clip.mp4#every=10``, or ``clips/*.mp4#fps=2``.
        listings: where what is inside shards and videos was kept, so that those that have not
            changed are not opened again.

    Raises:
        SourceError: nothing is there, there is no image in it, or it cannot be reached.
    """
    source = str(source)
    try:
        # Of two members of one name the later counts, as in any tar.
        found = {ref.name: ref for ref in map(_in_unicode, _list(source, listings))}
        refs = sorted(found.values(), key=lambda ref: ref.name)
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


def _in_unicode(ref: ImageRef) -> ImageRef:
    """The image, or one that cannot be read where its name is of another encoding."""
    try:
        ref.url.encode(), ref.name.encode()
    except UnicodeEncodeError:
        name, url = (
            text.encode("utf-8", "backslashreplace").decode() for text in (ref.name, ref.url)
        )
        return broken_ref(name, url, ref.version, "its name is not UTF-8: rename it")
    return ref


def _names_credentials(error: Exception) -> bool:
    return "credential" in f"{type(error).__name__} {error}".lower()


def _list(source: str, listings: Listings | None) -> Iterator[ImageRef]:
    named, choice = _split_choice(source)
    fs, path = open_filesystem(named)
    if not _GLOB.isdisjoint(named) and not fs.exists(path):
        return _expand(_of_glob(fs, path, named), source, choice, listings)
    if not fs.exists(path):
        raise SourceError(
            f"{named}: no such file or folder. Expected a folder of images, a glob, a list "
            "file (.txt), a .tar, a video or an fsspec URL of one of those."
        )
    if fs.isdir(path):
        images = (found for found in _of_folder(fs, path) if found.suffix not in VIDEO_SUFFIXES)
        return _expand(images, source, choice, listings)
    if path.endswith(".txt"):
        clashes: list[ImageRef] = []
        files = _of_list_file(fs, path, named, clashes)
        return chain(_expand(files, source, choice, listings), clashes)
    return _expand([FoundFile(fs, fs.info(path), basename(path))], source, choice, listings)


def _expand(
    files: Iterable[FoundFile], source: str, choice: FrameChoice | None, listings: Listings | None
) -> Iterator[ImageRef]:
    """Images of files; a choice of frames must have a video to choose from."""
    if choice is None:
        yield from expand(files, FrameChoice(), listings)
        return
    found = list(files)
    if all(file.suffix not in VIDEO_SUFFIXES for file in found):
        raise SourceError(
            f"{source}: there is no video whose frames #every or #fps could choose. Videos in "
            "folders are read where they are named, e.g. 'FOLDER/*.mp4#fps=2'; leave the choice "
            "out for images and tar shards."
        )
    yield from expand(found, choice, listings)


def _split_choice(source: str) -> tuple[str, FrameChoice | None]:
    """A source without its choice of frames, and that choice, if any."""
    match = _CHOICE.search(source)
    if match is None:
        return source, None
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
    choice = FrameChoice(every=int(number)) if kind == "every" else FrameChoice(fps=number)
    return source[: match.start()], choice


def _of_folder(fs: Any, root: str) -> Iterator[FoundFile]:
    prefix = root.rstrip("/") + "/"
    for path, info in _followed(fs, fs.find(root, detail=True), (os.path.realpath(root),)):
        name = path.removeprefix(prefix)
        if info["type"] == "file" and _is_wanted(name):
            yield FoundFile(fs, info, name)


def _followed(
    fs: Any, found: dict[str, dict[str, Any]], above: tuple[str, ...]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Files with what links lead to in their place; only local disks have them.

    above: real paths of the folders that were come through, which no link leads back to. Links to
    folders are followed where there are any.
    """
    for path, info in found.items():
        if not info.get("islink"):
            yield path, info
            continue
        try:
            target = {**fs.info(path), "name": path}
        except OSError:
            yield path, {**info, "type": "file", "dangling": True}
            continue
        real = os.path.realpath(path)
        if target["type"] == "file":
            yield path, target
        elif above and real not in above:
            yield from _followed(fs, fs.find(path, detail=True), (*above, real))


def _of_glob(fs: Any, pattern: str, source: str) -> Iterator[FoundFile]:
    pieces = pattern.split("/")
    fixed = next(i for i, piece in enumerate(pieces) if not _GLOB.isdisjoint(piece))
    root = "/".join(pieces[:fixed]) + "/"
    found = fs.glob(pattern, detail=True)
    if not found:
        raise SourceError(f"{source}: nothing matches this pattern. Quote it in a shell.")
    for path, info in _followed(fs, found, ()):
        name = path.removeprefix(root)
        if info["type"] == "file" and _is_wanted(name):
            yield FoundFile(fs, info, name)


def _of_list_file(fs: Any, path: str, source: str, clashes: list[ImageRef]) -> Iterator[FoundFile]:
    """The files that are listed; of others of the same names it leaves ``clashes``."""
    folder = posixpath.dirname(path)
    try:
        raw = fs.cat_file(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{source}: a list file is read as UTF-8, and this one is not ({error}). Save it so."
        ) from error
    lines = [(number, line.strip()) for number, line in enumerate(raw, start=1)]
    wanted = [(number, line) for number, line in lines if line and not line.startswith("#")]
    seen: dict[str, tuple[str, int]] = {}
    with ThreadPoolExecutor(_THREADS) as pool:
        files = pool.map(partial(_of_line, fs, folder, source), wanted)
        for (number, _), found in zip(wanted, files, strict=True):
            ref = found.ref
            url, line = seen.setdefault(found.name, (ref.url, number))
            if line == number:
                yield found
            elif url != ref.url:
                why = (
                    f"line {line} of the list file names another image of the same name, {url}, "
                    "which is the one that counts; give one of them another path"
                )
                name = f"{found.name} of line {number}"
                clashes.append(broken_ref(name, ref.url, ref.version, why))


def _of_line(fs: Any, folder: str, source: str, numbered: tuple[int, str]) -> FoundFile:
    number, line = numbered
    absolute = "://" in line or line.startswith("/")
    url = line if absolute else fs.unstrip_protocol(posixpath.normpath(f"{folder}/{line}"))
    target_fs, target = open_filesystem(url)
    name = target.removeprefix(folder + "/") if target_fs.protocol == fs.protocol else target
    try:
        return FoundFile(target_fs, target_fs.info(target), name.lstrip("/"))
    except FileNotFoundError as error:
        raise SourceError(
            f"{source}, line {number}: {line!r} does not exist. Paths are relative to the "
            "list file; remove the line or correct it."
        ) from error


def _is_wanted(name: str) -> bool:
    """Whether a file of a folder or a glob may hold images, by its name."""
    suffix = posixpath.splitext(name)[1].lower()
    return not is_hidden(name) and (
        suffix in IMAGE_SUFFIXES or suffix in VIDEO_SUFFIXES or suffix == ".tar"
    )
