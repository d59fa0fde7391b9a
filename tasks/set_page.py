"""What the pages of image sets share: one look for all images, and the inspector's sources."""

from collections.abc import Sequence

import numpy as np

from storage.descriptors import DescriptorStore
from tasks.config import ExtractConfig
from tasks.report_pictures import SetLook, set_look
from tasks.report_records import SketchRecord
from tasks.report_sketches import sketch_records
from tasks.stored import read_descriptors

SKETCH = "main"  # the inspector's source: the descriptors of the main facet
_LOOK_IMAGES = 24  # that colours and sketches are fitted on
_BINNED_IMAGES = 64  # log-bins take a tenth of a second an image


def fit_look(
    store: DescriptorStore, names: Sequence[str], clusters: int
) -> tuple[list[np.ndarray], SetLook]:
    """A sample of the descriptors of a set, (rows, cols, D) each, and the look fitted on it.

    Args:
        names: of the set's images. clusters: how many colours are needed.
    """
    sample = list(read_descriptors(store, names[:: -(-len(names) // _LOOK_IMAGES)]))
    descriptors = [image.descriptors for image in sample]
    return descriptors, set_look(
        descriptors,
        [image.saliency for image in sample],
        clusters=clusters,
        sources=[SKETCH],
        binned=len(names) <= _BINNED_IMAGES,
    )


def inspector_sources(
    look: SetLook, sample: Sequence[np.ndarray], config: ExtractConfig
) -> tuple[SketchRecord, ...]:
    """What the set's inspector offers of its main facet."""
    label = f"layer {config.layer} {config.facet}"
    return sketch_records(look.sketches, {SKETCH: label}, sample)
