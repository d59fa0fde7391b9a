"""Descriptors made small before they are stored: along principal axes, in one byte a number."""

from collections.abc import Mapping, Sequence

import numpy as np

from storage.bases import Basis, read_basis, write_basis
from storage.descriptors import DescriptorStore
from storage.errors import StorageError, UnreadableImageError
from storage.images import ImageRef, read_image
from storage.planning import Partition
from storage.reader import SCALE_SUFFIX
from tasks.config import ExtractConfig
from tasks.describe import describe
from tasks.ops.pca import fit_axes, project
from tasks.ops.quantise import quantise

# Axes of 384 channels are stable from a few thousand patches on; this many images give more.
_SAMPLE_IMAGES = 48
_SAMPLE_PATCHES = 50_000


def pack(
    arrays: Mapping[str, np.ndarray], config: ExtractConfig, bases: Mapping[str, Basis]
) -> dict[str, np.ndarray]:
    """One image's arrays as the settings store them.

    Args:
        arrays: as `Described.arrays`.
        config: whose ``pca`` and ``dtype`` are applied to the facets, not to CLS and saliency.
        bases: of each facet's array; empty without ``pca``.
    """
    packed = dict(arrays)
    for name in config.arrays:
        values = arrays[name]
        if config.pca is not None:
            values = project(values, bases[name].axes)
        if config.dtype == "int8":
            packed[name], packed[name + SCALE_SUFFIX] = quantise(values)
        else:
            if config.dtype == "float16":
                # Artefact tokens of large models can pass its range; infinity spoils cosines.
                values = np.clip(values, -65504, 65504)
            packed[name] = values.astype(config.dtype)
    return packed


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


def ensure_bases(store: str, partitions: Sequence[Partition], config: ExtractConfig) -> None:
    """Fit and keep the bases of a store that has none, on a sample of what is to be stored."""
    if config.pca is None or not partitions:
        return
    if all(read_basis(store, name) is not None for name in config.arrays):
        return
    if DescriptorStore.open(store).index().images:
        raise StorageError(
            f"{store}: its principal axes are missing, and others would not go with the images "
            "that it holds. `patchflow verify --repair` drops those; then run again."
        )
    samples, images = _sample(partitions, config)
    for name, sample in samples.items():
        if min(sample.shape) < config.pca:
            raise StorageError(
                f"--pca {config.pca} needs at least as many patches and channels in the first "
                f"run, which has {sample.shape[0]} patches of {sample.shape[1]} channels. Begin "
                "with more images, or keep fewer axes."
            )
        fitted = fit_axes(sample, config.pca)
        basis = Basis(fitted.axes, fitted.explained, fitted.variance, images, len(sample))
        write_basis(store, basis, name)


def _sample(
    partitions: Sequence[Partition], config: ExtractConfig
) -> tuple[dict[str, np.ndarray], int]:
    """Patches of images spread evenly over the plan, for every facet, and how many images."""
    refs = [image.ref for partition in partitions for image in partition.images]
    chosen = np.linspace(0, len(refs) - 1, min(len(refs), _SAMPLE_IMAGES)).round().astype(int)
    found: dict[str, list[np.ndarray]] = {name: [] for name in config.arrays}
    for number in chosen.tolist():
        for name, patches in _patches(refs[number], config).items():
            found[name].append(patches)
    if not all(found.values()):
        raise StorageError(
            f"none of {min(len(refs), _SAMPLE_IMAGES)} sampled images could be read, so no "
            "principal axes can be fitted. Store them without pca, or mend the source."
        )
    thinned = {name: _thin(np.concatenate(patches)) for name, patches in found.items()}
    return thinned, len(found["descriptors"])


def _patches(ref: ImageRef, config: ExtractConfig) -> dict[str, np.ndarray]:
    try:
        image = read_image(ref, max_pixels=config.max_pixels)
    except UnreadableImageError:
        return {}
    arrays = describe([image], config)[0].arrays
    return {name: arrays[name].reshape(-1, arrays[name].shape[-1]) for name in config.arrays}


def _thin(patches: np.ndarray) -> np.ndarray:
    return patches[:: max(1, -(-len(patches) // _SAMPLE_PATCHES))]
