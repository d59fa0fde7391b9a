"""Several facets joined and reduced: what the consensus and the parts work on."""

from collections.abc import Sequence

import numpy as np

from storage.descriptors import DescriptorStore
from tasks.config import CosegmentConfig
from tasks.ops.leading_axes import axes_of_maps
from tasks.ops.patch_grid import unit

_AXES_IMAGES = 40  # that the axes are fitted on


def join_facets(facets: Sequence[np.ndarray]) -> np.ndarray:
    """Descriptors (rows, cols, D) of several facets side by side: each unit, so all count alike."""
    return unit(np.concatenate([unit(one) for one in facets], axis=-1))


def fit_axes(store: DescriptorStore, names: Sequence[str], config: CosegmentConfig) -> np.ndarray:
    """Few axes (D, C) that keep the inner products of all facets of the settings joined.

    Fitted on patches of evenly spaced images, one image in memory at a time.
    """
    images = names[:: -(-len(names) // _AXES_IMAGES)]
    joined = (join_facets([store.read(name, array) for array in config.arrays]) for name in images)
    return axes_of_maps(joined, len(images))


def read_joined(
    store: DescriptorStore, name: str, config: CosegmentConfig, axes: np.ndarray
) -> np.ndarray:
    """One image's joined descriptors along `axes`: (rows, cols, C) float32, unit length."""
    return unit(join_facets([store.read(name, array) for array in config.arrays]) @ axes)
