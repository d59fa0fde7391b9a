"""Descriptors for the similarity inspector: raw and log-binned, small enough for a page."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from storage.descriptors import DescriptorStore
from storage.files import join, write_bytes
from tasks.config import ExtractConfig
from tasks.ops.log_bin import log_bin
from tasks.ops.sketch import SketchBasis, fit_sketch, measure_sketch, sketch
from tasks.report_records import SET_FILE, SketchRecord, read_record, write_record

_HIERARCHY = 2
_FITTED_IMAGES = 8  # log-binned descriptors of one image take 25 MB
_FITTED_PATCHES = 150  # of each
_MEASURED_IMAGES = 4


def binned_id(source: str) -> str:
    """Id of the log-binned form of a source."""
    return f"{source}-bins"


def fit_binned(descriptors: Sequence[np.ndarray], channels: int = 64) -> SketchBasis:
    """Basis for the log-binned descriptors of images (rows, cols, D), from a sample of them."""
    step = -(-len(descriptors) // _FITTED_IMAGES)
    sample = []
    for image in descriptors[::step]:
        flat = _binned(image).reshape(image.shape[0] * image.shape[1], -1)
        chosen = np.linspace(0, len(flat) - 1, min(_FITTED_PATCHES, len(flat))).astype(int)
        sample.append(flat[chosen])
    return fit_sketch(np.concatenate(sample), channels)


def write_sketches(
    folder: str,
    number: int,
    descriptors: Mapping[str, np.ndarray],
    bases: Mapping[str, SketchBasis],
) -> dict[str, str]:
    """Write one image's sketches, (rows, cols, D) by source id; their paths by id.

    The log-binned form is written as well where `bases` knows it.
    """
    paths = {}
    for source, raw in descriptors.items():
        for name in (source, binned_id(source)):
            if name not in bases:
                continue
            paths[name] = f"sketches/{name}/{number:05d}.bin"
            values = sketch(raw if name == source else _binned(raw), bases[name])
            write_bytes(join(folder, paths[name]), values.tobytes())
    return paths


def sketch_records(
    bases: Mapping[str, SketchBasis], labels: Mapping[str, str], sample: Sequence[np.ndarray]
) -> tuple[SketchRecord, ...]:
    """What the inspector offers, with what sketching changes, measured on a sample of images.

    Args:
        bases: by source id. labels: source id to its name for people.
        sample: (rows, cols, D) each; the first few are used.
    """
    records = []
    measured = sample[:_MEASURED_IMAGES]
    for source, label in labels.items():
        if source in bases:
            records.append(_record(source, label, bases[source], measured))
        if binned_id(source) in bases:
            bins = [_binned(image) for image in measured]
            name = binned_id(source)
            records.append(_record(name, f"{label}, log-binned", bases[name], bins))
    return tuple(records)


def offer_stored_facets(store: DescriptorStore, folder: str, config: ExtractConfig) -> None:
    """Add the store's further facets to the inspector of the set in `folder`.

    The set's set.json is read and written again. Images beyond the first `SKETCHED_IMAGES` have
    no grid in it, and get no sketch here either.
    """
    record = read_record(join(folder, SET_FILE))
    images, sources = list(record.images), list(record.sketches)
    numbers = [number for number, image in enumerate(images) if image.grid is not None]
    for array, request in list(config.arrays.items())[1:]:
        name = f"{request.layer}-{request.facet}"
        chosen = numbers[:: -(-len(numbers) // _FITTED_IMAGES)] if numbers else []
        sample = [store.read(images[n].name, array).astype(np.float32) for n in chosen]
        if not sample:
            continue
        basis = fit_sketch(np.concatenate([one.reshape(-1, one.shape[-1]) for one in sample]))
        label = f"layer {request.layer} {request.facet}"
        sources.append(_record(name, label, basis, sample[:_MEASURED_IMAGES]))
        for n in numbers:
            values = {name: store.read(images[n].name, array)}
            paths = write_sketches(folder, n, values, {name: basis})
            images[n] = replace(images[n], sketches={**images[n].sketches, **paths})
    write_record(folder, replace(record, images=tuple(images), sketches=tuple(sources)))


def _record(
    source: str, label: str, basis: SketchBasis, sample: Sequence[np.ndarray]
) -> SketchRecord:
    error = measure_sketch(sample, basis) if sample else None
    return SketchRecord(
        id=source,
        label=label,
        offsets=tuple(map(float, basis.offsets)),
        scales=tuple(map(float, basis.scales)),
        mean_error=error.mean if error else None,
        high_error=error.high if error else None,
        same_best=error.same_best if error else None,
    )


def _binned(image: np.ndarray) -> np.ndarray:
    return log_bin(np.asarray(image, np.float32), _HIERARCHY)
