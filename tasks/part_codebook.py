"""What numbers a set's parts: learnt from its foreground, kept, found again by later runs."""

import hashlib
from dataclasses import dataclass

import numpy as np

from storage.codebooks import read_codebook, write_codebook
from storage.descriptors import DescriptorStore
from storage.errors import StorageError, UnreadableImageError
from storage.images import read_image
from tasks.describe import describe
from tasks.foreground import Sample, SetModel
from tasks.joined import join_facets
from tasks.ops.parts import (
    PartCodebook,
    Surroundings,
    crop_boxes,
    find_parts,
    fit_surroundings,
)
from tasks.ops.patch_grid import unit
from tasks.ops.preprocess import to_image_size
from tasks.parts_config import PartsConfig
from tasks.stored import source_of, stored_grid

_SMALL_SET = 20  # images; larger sets have variety enough
_AXES_IMAGES = 40  # that the axes of the bins are fitted on


@dataclass(frozen=True, slots=True)
class PartModel:
    """Parts of a set's object. axes: (D, C) of the joined facets (`tasks.joined`). around: what
    is seen of a patch and its surroundings. book: the parts.
    """

    axes: np.ndarray
    around: Surroundings
    book: PartCodebook

    @property
    def digest(self) -> str:
        """Of all that numbers the parts."""
        found = hashlib.blake2b(digest_size=16)
        for array in (self.axes, self.around.axes, self.book.centers):
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()


def learn_parts(
    store: DescriptorStore, sample: Sample, model: SetModel, config: PartsConfig
) -> PartModel:
    """Cluster the foreground of a set's sample, with crops of its images where it is small.

    Raises:
        ValueError: a model that was not learnt from joined facets.
    """
    if model.axes is None:
        raise ValueError("parts are learnt from joined facets; give `learn_stored` their axes")
    around = fit_surroundings(
        sample.units[:: -(-len(sample.units) // _AXES_IMAGES)], config.hierarchy
    )
    descriptors = [_flat(around.see(one)) for one in sample.units]
    decided = model.decide_sample(sample, config)
    foreground = [one.ravel() > 0.5 for one in decided]
    owner = list(range(len(descriptors)))
    if config.crops and len(sample.names) < _SMALL_SET:
        for number, name in enumerate(sample.names):
            for units, inside in crops(store, name, model, decided[number], config):
                descriptors.append(_flat(around.see(units)))
                foreground.append(inside.ravel())
                owner.append(number)
    book = find_parts(
        np.concatenate(descriptors),
        np.concatenate(foreground),
        np.repeat(owner, [len(one) for one in descriptors]),
        parts=config.parts,
        elbow=config.parts_elbow,
        max_parts=config.max_parts,
        stages=config.stages,
        share=config.share,
        smallest=config.smallest_part,
        seed=config.seed,
    )
    return PartModel(model.axes, around, book)


def crops(
    store: DescriptorStore,
    name: str,
    model: SetModel,
    foreground: np.ndarray,
    config: PartsConfig,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Descriptors (rows, cols, C) and foreground (rows, cols) bool of random crops of one image
    and of their mirror images; none where its picture cannot be read.

    Args:
        foreground: (rows, cols) of the whole image, above 0.5.
    """
    stored = store.find(name)
    try:
        picture = read_image(source_of(stored))
    except UnreadableImageError:
        return []
    grid = stored_grid(store.info.config, stored)
    soft = to_image_size(foreground, grid)
    views, masks = [], []
    for left, top, right, bottom in crop_boxes(*grid.image, config.crops, seed=config.seed):
        for flip in (1, -1):
            views.append(np.ascontiguousarray(picture[top:bottom, left:right][:, ::flip]))
            masks.append(soft[top:bottom, left:right][:, ::flip])
    found = []
    for view, mask in zip(describe(views, config.extraction()), masks, strict=True):
        at = view.grid.centers_xy().astype(int).clip(0, np.subtract(mask.shape[::-1], 1))
        facets = [view.arrays[name].astype(np.float32) for name in config.arrays]
        inside = mask[at[:, 1], at[:, 0]].reshape(view.grid.shape) > 0.5
        found.append((unit(join_facets(facets) @ model.axes), inside))
    return found


def read_parts(url: str, config: PartsConfig) -> PartModel:
    """The parts of an earlier run.

    Raises:
        StorageError: no codebook, one of `patchflow cluster`, or one made from other descriptors.
    """
    arrays, attributes = read_codebook(url)
    if (kind := attributes.get("kind")) != "parts":
        raise StorageError(f"{url} holds {kind}; expected the codebook.zarr of `patchflow parts`")
    if attributes.get("descriptors") != _identity(config):
        raise StorageError(
            f"{url} was made from other descriptors: {attributes.get('descriptors')}; these "
            f"settings give {_identity(config)}. Use the codebook's settings"
        )
    around = Surroundings(config.hierarchy, arrays["bins"])
    return PartModel(arrays["axes"], around, PartCodebook(arrays["centers"]))


def write_parts(url: str, parts: PartModel, config: PartsConfig) -> str:
    """Keep what numbers the parts, for later runs.

    A codebook that holds just that is left as it is: it may be the one that this run was given,
    which other sets are reading and a run that dies must not take along.
    """
    if _holds(url, parts, config):
        return url
    arrays = {"axes": parts.axes, "bins": parts.around.axes, "centers": parts.book.centers}
    return write_codebook(url, arrays, {"kind": "parts", "descriptors": _identity(config)})


def _holds(url: str, parts: PartModel, config: PartsConfig) -> bool:
    try:
        return read_parts(url, config).digest == parts.digest
    except (StorageError, KeyError):  # none, another one, or one of an older version
        return False


def _identity(config: PartsConfig) -> dict[str, str]:
    facets = ",".join(f"{r.layer}.{r.facet}" for r in config.arrays.values())
    return {
        "model": config.model,
        "weights": config.resolved_weights,
        "facets": facets,
        "hierarchy": str(config.hierarchy),
    }


def _flat(image: np.ndarray) -> np.ndarray:
    return image.reshape(-1, image.shape[-1])
