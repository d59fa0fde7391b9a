"""Where co-segmentation data sets keep images and masks, as their authors publish them.

PASCAL-VOC of Faktor & Irani 2013; PASCAL-CO of Amir et al. 2021, whose own layout is not
documented, in the same one::

    ROOT/images/<class>/<stem>.jpg       ROOT/GroundTruth/<class>/<stem>.png

MSRC and the Internet images, as Rubinstein et al. 2013 distribute them (ROOT is the unpacked
ObjectDiscovery-data, its Data, or for MSRC the folder of the classes)::

    ROOT/Data/MSRC/<class>/<stem>.bmp    ROOT/Data/MSRC/<class>/GroundTruth/<stem>.png
    ROOT/Data/Car100/<stem>.jpg          ROOT/Data/Car100/GroundTruth/<stem>.png

iCoseg of Batra et al. 2010 (ROOT or its dataset_public)::

    ROOT/images/<set>/<stem>.jpg         ROOT/ground_truth/<set>/<stem>.png
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from storage.files import join, list_folder
from storage.images import list_images
from tasks.benchmarks.layout import LayoutError

_INTERNET = ("Airplane100", "Car100", "Horse100")
_TRUTH = "GroundTruth"


@dataclass(frozen=True, slots=True)
class Layout:
    """A data set on disk. expected: the layout, in words. noise: some images show no object.

    find: root to the folder of the images and to truths: image name below that folder (class
    first) to the URL of its mask, in the order of the names.
    """

    find: Callable[[str], tuple[str, dict[str, str]]]
    expected: str
    noise: bool = False


def beside(images: str, truth: str, inner: str = "") -> Callable[[str], tuple[str, dict[str, str]]]:
    """Images and masks in two trees of classes below the root, or below `inner` in it."""

    def find(root: str) -> tuple[str, dict[str, str]]:
        base = join(root, inner) if inner and list_folder(join(root, inner), "directory") else root
        known = set(list_folder(join(base, truth), "directory"))
        names = [ref.name for ref in list_images(join(base, images))] if known else []
        kept = [name for name in names if name.partition("/")[0] in known]
        _complete(base, known, kept)
        masks = {
            name: join(base, truth, str(PurePosixPath(name).with_suffix(".png"))) for name in kept
        }
        return join(base, images), masks

    return find


def within(
    places: Sequence[str], classes: Sequence[str] = ()
) -> Callable[[str], tuple[str, dict[str, str]]]:
    """Classes that each hold their images and a folder of masks, in the first of `places`."""

    def find(root: str) -> tuple[str, dict[str, str]]:
        for place in places:
            base = join(root, place) if place else root
            named = classes or list_folder(base, "directory")
            known = {name for name in named if list_folder(join(base, name, _TRUTH))}
            if known:
                break
        else:
            return root, {}
        missing = sorted(set(classes) - known)
        if missing:
            raise LayoutError(f"{base}: no {_TRUTH} in {', '.join(missing)}")
        masks = {}
        for name in sorted(known):
            for ref in list_images(join(base, name)):
                if "/" not in ref.name:
                    stem = PurePosixPath(ref.name).stem
                    masks[f"{name}/{ref.name}"] = join(base, name, _TRUTH, f"{stem}.png")
        _complete(base, known, masks)
        return base, masks

    return find


def _complete(base: str, classes: Iterable[str], images: Iterable[str]) -> None:
    """Raise LayoutError where a class has masks but no images."""
    empty = sorted(set(classes) - {name.partition("/")[0] for name in images})
    if empty:
        raise LayoutError(f"{base}: no images of {', '.join(empty)}")


_PASCAL = Layout(
    beside("images", _TRUTH), "images/<class>/<stem>.jpg and GroundTruth/<class>/<stem>.png"
)
LAYOUTS: Mapping[str, Layout] = {
    "pascal-coseg": _PASCAL,
    "pascal-co": _PASCAL,
    "msrc": Layout(
        within(("Data/MSRC", "MSRC", "")),
        "Data/MSRC/<class>/<stem>.bmp and Data/MSRC/<class>/GroundTruth/<stem>.png",
    ),
    "internet300": Layout(
        within(("Data", ""), _INTERNET),
        "Data/<Airplane100, Car100, Horse100>/<stem>.jpg and Data/<...>/GroundTruth/<stem>.png",
        noise=True,
    ),
    "icoseg": Layout(
        beside("images", "ground_truth", "dataset_public"),
        "images/<set>/<stem>.jpg and ground_truth/<set>/<stem>.png",
    ),
}
