"""Principal axes of a store: fitted on a sample of its first images, before the store is made."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from storage.bases import Basis, read_basis, write_basis
from storage.descriptors import DescriptorStore
from storage.errors import StorageError, UnreadableImageError
from storage.images import ImageRef, read_image
from storage.planning import Partition
from tasks.config import ExtractConfig
from tasks.describe import describe
from tasks.ops.pca import fit_axes

# Axes of 384 channels are stable from a few thousand patches on; this many images give more.
_SAMPLE_IMAGES = 48
_SAMPLE_PATCHES = 50_000


def bases_of(store: str, config: ExtractConfig) -> dict[str, Basis]:
    """The bases that a store's facets are projected on; empty without ``pca``.

    Raises:
        StorageError: one is missing: the run that should have fitted it never got that far.
    """
    if config.pca is None:
        return {}
    bases: dict[str, Basis] = {}
    for name in config.arrays:
        basis = read_basis(store, name)
        if basis is None:
            raise StorageError(f"{store}: bases/{name}.npz is missing. Run `patchflow extract`.")
        bases[name] = basis
    return bases


def fit_bases(
    store: DescriptorStore, partitions: Sequence[Partition], config: ExtractConfig
) -> dict[str, Basis]:
    """The bases that a store lacks, by array, from a sample of what is to be stored in it.

    Raises:
        StorageError: the store holds images, or there are too few patches, or none at all.
    """
    if config.pca is None or not partitions:
        return {}
    if all(read_basis(store.url, name) is not None for name in config.arrays):
        return {}
    if store.index().images:
        raise StorageError(
            f"{store.url}: its principal axes are missing, and others would not go with the images "
            "that it holds. `patchflow verify --repair` drops those; then run again."
        )
    samples, images = _sample(partitions, config)
    bases: dict[str, Basis] = {}
    for name, sample in samples.items():
        if min(sample.shape) < config.pca:
            raise StorageError(
                f"--pca {config.pca} needs at least as many patches and channels in the first "
                f"run, which has {sample.shape[0]} patches of {sample.shape[1]} channels. Begin "
                "with more images, or keep fewer axes."
            )
        fitted = fit_axes(sample, config.pca)
        bases[name] = Basis(fitted.axes, fitted.explained, fitted.variance, images, len(sample))
    return bases


def keep_bases(store: str, bases: Mapping[str, Basis]) -> None:
    """Write bases into a store; those of a run that was faster stay."""
    for name, basis in bases.items():
        write_basis(store, basis, name)


def _sample(
    partitions: Sequence[Partition], config: ExtractConfig
) -> tuple[dict[str, np.ndarray], int]:
    """Patches of images spread evenly over the plan, for every facet, and how many images."""
    refs = [image.ref for partition in partitions for image in partition.images]
    found: dict[str, list[np.ndarray]] = {name: [] for name in config.arrays}
    for ref in _spread(refs):
        for name, patches in _patches(ref, config).items():
            found[name].append(patches)
        if len(found["descriptors"]) == _SAMPLE_IMAGES:
            break
    if not all(found.values()):
        raise StorageError(
            f"none of {len(refs)} images could be read, so no principal axes can be fitted. Store "
            "them without pca, or mend the source."
        )
    thinned = {name: _thin(np.concatenate(patches)) for name, patches in found.items()}
    return thinned, len(found["descriptors"])


def _spread(refs: Sequence[ImageRef]) -> Iterator[ImageRef]:
    """As many as the sample takes, evenly over all, and then the others, should some be broken."""
    spaced = np.linspace(0, len(refs) - 1, min(len(refs), _SAMPLE_IMAGES)).round().astype(int)
    chosen = dict.fromkeys(spaced.tolist())
    yield from (refs[number] for number in chosen)
    yield from (ref for number, ref in enumerate(refs) if number not in chosen)


def _patches(ref: ImageRef, config: ExtractConfig) -> dict[str, np.ndarray]:
    try:
        image = read_image(ref, max_pixels=config.max_pixels)
    except UnreadableImageError:
        return {}
    arrays = describe([image], config)[0].arrays
    return {name: arrays[name].reshape(-1, arrays[name].shape[-1]) for name in config.arrays}


def _thin(patches: np.ndarray) -> np.ndarray:
    return patches[:: max(1, -(-len(patches) // _SAMPLE_PATCHES))]
