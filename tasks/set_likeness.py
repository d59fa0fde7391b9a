"""What is said of a set whose images may not share an object."""

import math
from collections.abc import Iterable

import numpy as np

from storage.weights import EMBEDDED
from tasks.config import CosegmentConfig
from tasks.ops.kinds import FacetRequest
from tasks.ops.likeness import likeness

COMPARED_IMAGES = 64  # evenly spaced, of large sets
# Where cosines are known: chosen on sets of four classes of PASCAL-coseg, see
# tests/benchmarks/RESULTS.md.
_MEASURED = FacetRequest(9, "token")
_LIMIT = 0.82


def compared_array(config: CosegmentConfig) -> str:
    """The array whose descriptors are compared: of the earliest layer of the settings, as the
    last ones tell object from ground and not one kind of object from another.
    """
    return min(config.arrays, key=lambda name: config.arrays[name].layer)


def likeness_limit(config: CosegmentConfig) -> float:
    """Below which a set is warned about: the setting, else what was measured for these weights
    and this facet, else 0 for no warning, as cosines differ from model to model.
    """
    if config.likeness_limit is not None:
        return config.likeness_limit
    facet = config.arrays[compared_array(config)]
    known = config.resolved_weights == EMBEDDED and facet == _MEASURED and config.pca is None
    return _LIMIT if known else 0.0


def measure_likeness(
    described: Iterable[np.ndarray], foreground: Iterable[np.ndarray]
) -> float | None:
    """`tasks.ops.likeness` of a set's objects; None where it cannot be known.

    Args:
        described: descriptors (rows, cols, D) of each image, of the `compared_array`.
        foreground: (rows, cols) of each image, above 0.5.
    """
    pairs = zip(described, (one > 0.5 for one in foreground), strict=True)
    found = likeness(pairs)
    return None if math.isnan(found) else found


def likeness_warnings(found: float | None, config: CosegmentConfig) -> tuple[str, ...]:
    """What a user should know about a set of this likeness."""
    limit = likeness_limit(config)
    if found is None or found >= limit:
        return ()
    return (
        f"the images may not share an object: what is salient in them is hardly alike (likeness "
        f"{found:.2f}, below {limit:.2f}); masks show what is salient",
    )


def likeness_note(found: float | None, config: CosegmentConfig) -> tuple[str, ...]:
    """What the set's page says of its likeness."""
    if found is None:
        return ()
    facet, limit = config.arrays[compared_array(config)], likeness_limit(config)
    judged = (
        f"below {limit:.2f} a set is warned about"
        if limit
        else "no limit is known for this model and facet; --likeness-limit sets one"
    )
    return (
        f"likeness {found:.2f}: how well the objects match each other across images, by layer "
        f"{facet.layer} {facet.facet}; {judged}",
    )
