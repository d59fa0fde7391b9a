"""What the pages of image sets share: one look for all images, and the inspector's sources."""

from collections.abc import Sequence

import numpy as np

from storage.descriptors import DescriptorStore
from tasks.config import ExtractConfig
from tasks.foreground import SetModel
from tasks.report_pictures import ImageView, SetLook, set_look
from tasks.report_records import SketchRecord
from tasks.report_sketches import sketch_records
from tasks.set_results import Decided
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


def view_of(one: Decided, model: SetModel, parts: np.ndarray | None = None) -> ImageView:
    """What the page shows of one decided image. parts: (H, W) labels, where there are parts."""
    return ImageView(
        name=one.image.name,
        pixels=one.picture,
        grid=one.image.grid,
        saliency=one.image.saliency,
        clusters=model.label(one.units),
        descriptors=one.image.descriptors,
        heads=one.image.heads,
        mask=one.mask,
        parts=parts,
        sketched={SKETCH: one.image.descriptors},
    )


def inspector_sources(
    look: SetLook, sample: Sequence[np.ndarray], config: ExtractConfig
) -> tuple[SketchRecord, ...]:
    """What the set's inspector offers of its main facet."""
    label = f"layer {config.layer} {config.facet}"
    return sketch_records(look.sketches, {SKETCH: label}, sample)
