"""Several facets joined and reduced: what the consensus and the parts work on."""

from collections.abc import Sequence

import numpy as np

from storage.descriptors import DescriptorStore
from tasks.config import CosegmentConfig
from tasks.ops.consensus import principal_axes
from tasks.ops.patch_grid import unit

_AXES_IMAGES, _AXES_PATCHES = 40, 6000  # that the axes are fitted on


def join_facets(facets: Sequence[np.ndarray]) -> np.ndarray:
    """Descriptors (rows, cols, D) of several facets side by side: each unit, so all count alike."""
    return unit(np.concatenate([unit(one) for one in facets], axis=-1))


def fit_axes(store: DescriptorStore, names: Sequence[str], config: CosegmentConfig) -> np.ndarray:
    """Few axes (D, C) that keep the inner products of all facets of the settings joined.

    Fitted on patches of evenly spaced images, one image in memory at a time.
    """
    images = names[:: -(-len(names) // _AXES_IMAGES)]
    each = -(-_AXES_PATCHES // len(images))
    sample = []
    for name in images:
        joined = join_facets([store.read(name, array) for array in config.arrays])
        flat = joined.reshape(-1, joined.shape[-1])
        sample.append(flat[:: max(1, len(flat) // each)].copy())  # a view would keep all of it
    return principal_axes(np.concatenate(sample))


def read_joined(
    store: DescriptorStore, name: str, config: CosegmentConfig, axes: np.ndarray
) -> np.ndarray:
    """One image's joined descriptors along `axes`: (rows, cols, C) float32, unit length."""
    return unit(join_facets([store.read(name, array) for array in config.arrays]) @ axes)
