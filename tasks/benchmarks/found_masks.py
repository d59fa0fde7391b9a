"""Where co-segmentation left the mask of each image."""

from collections.abc import Iterable

from storage.files import join
from tasks.sets import result_stems


def mask_urls(out: str, names: Iterable[str]) -> dict[str, str]:
    """Image name to the URL of its mask, ``OUT/<folder>/masks/<stem>.png``, there or not.

    Args:
        names: of all images; their folders are the sets.
    """
    folders: dict[str, list[str]] = {}
    for name in names:
        folders.setdefault(name.rpartition("/")[0], []).append(name)
    return {
        name: join(out, folder, "masks", f"{stem}.png")
        for folder, members in folders.items()
        for name, stem in result_stems(members).items()
    }
