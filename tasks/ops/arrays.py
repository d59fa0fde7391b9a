"""Arrays of NumPy or torch, so that one op serves a core without torch and a GPU.

The few ops that are worth both take either and return the same kind: they are written in the
array API's names (https://data-apis.org/array-api), by the package array-api-compat.
"""

from typing import Any, TypeAlias

import numpy as np
from array_api_compat import array_namespace, device, is_torch_array

Array: TypeAlias = Any  # numpy.ndarray or torch.Tensor
__all__ = ["Array", "array_namespace", "empty", "like", "to_numpy"]


def to_numpy(array: Array) -> np.ndarray:
    """The same values in this process' memory."""
    return np.asarray(array.cpu() if is_torch_array(array) else array)


def like(values: np.ndarray, other: Array) -> Array:
    """NumPy values as an array of `other`'s kind, on its device."""
    return array_namespace(other).asarray(values, device=device(other))


def empty(shape: tuple[int, ...], other: Array) -> Array:
    """An array of float32, not set, of `other`'s kind on its device."""
    xp = array_namespace(other)
    return xp.empty(shape, dtype=xp.float32, device=device(other))
