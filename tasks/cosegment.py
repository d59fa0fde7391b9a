"""Co-segmentation tasks: cluster a set's descriptors, vote by saliency, refine, write masks."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from prefect import task

from storage.descriptors import DescriptorStore
from storage.errors import UnreadableImageError
from storage.files import join, list_folder, remove
from storage.images import read_image
from storage.results import write_mask
from tasks.config import EXECUTION_FIELDS, CosegmentConfig
from tasks.faults import STORAGE_RETRIES
from tasks.ops.consensus import consensus_foreground, principal_axes
from tasks.ops.kmeans import Clustering, assign, elbow_kmeans
from tasks.ops.patch_grid import unit
from tasks.ops.preprocess import to_image_size
from tasks.ops.refine import refine
from tasks.ops.voting import (
    ClusterVotes,
    judge_by_foreground,
    outlier_images,
    soft_foreground,
    vote_salient,
)
from tasks.report_pictures import (
    ImageView,
    SetLook,
    cluster_records,
    set_look,
    write_image,
)
from tasks.report_records import ImageRecord, SetRecord, write_record
from tasks.report_sketches import offer_stored_facets, sketch_records
from tasks.reuse import finished, mark_finished
from tasks.sets import ImageSet, result_stems, work_key
from tasks.stored import ImageDescriptors, read_descriptors

# Part of every result's key: raise it when the maths or the files change.
CODE = "cosegment-5"
SKETCH = "main"  # the inspector's source: the descriptors that were clustered
_SKETCH_SAMPLE = 8
_AXES_IMAGES, _AXES_PATCHES = 40, 6000  # that the joined descriptors' axes are fitted on
_BINNED_IMAGES = 64  # log-bins take a tenth of a second an image


@dataclass(frozen=True, slots=True)
class SetReport:
    """What became of one set.

    masks: written, now or by the earlier run that is reused. clusters, kept: of the clustering.
    missing: images without a mask, with the reason. reused: nothing had to be done.
    """

    name: str
    masks: int
    clusters: int
    kept: int
    missing: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    seconds: float
    reused: bool = False


@dataclass(frozen=True, slots=True)
class Cosegmentation:
    """A set's foreground on the patch grids.

    labels: (rows, cols) cluster of each image's patches. foreground: (rows, cols) float32 in
    [0, 1], foreground above 0.5; zeros for outliers.
    """

    clustering: Clustering
    votes: ClusterVotes
    labels: list[np.ndarray]
    foreground: list[np.ndarray]
    outliers: np.ndarray
    warnings: tuple[str, ...]


@task(name="cosegment-set", tags=["patchflow-cosegment"], **STORAGE_RETRIES)
def cosegment_set(store: str, images: ImageSet, out: str, config: CosegmentConfig) -> SetReport:
    """Write ``OUT/<set>/masks/<stem>.png`` of one set, unless an equal run did already."""
    started = time.perf_counter()
    opened = DescriptorStore.open(store)
    settings = config.model_dump(mode="json", exclude=set(EXECUTION_FIELDS))
    key = work_key(opened, images.images, settings, CODE)
    folder = join(out, images.name)
    masks = [f"masks/{stem}.png" for stem in result_stems(images.images).values()]
    if (earlier := finished(folder, key, SetReport, masks)) is not None:
        return replace(earlier, reused=True)
    described = list(read_descriptors(opened, images.images))
    joined = (
        read_joined(opened, images.images, config).descriptors
        if config.rule == "consensus"
        else None
    )
    found = cosegment(described, config, joined)
    missing = _write_masks(described, found, folder, config)
    if config.pictures and config.also:
        offer_stored_facets(opened, folder, config)
    report = SetReport(
        name=images.name,
        masks=len(described) - len(missing),
        clusters=len(found.clustering.centers),
        kept=int(found.votes.kept.sum()),
        missing=missing,
        warnings=found.warnings,
        seconds=time.perf_counter() - started,
    )
    for stale in set(list_folder(join(folder, "masks"))) - {m.rpartition("/")[2] for m in masks}:
        remove(join(folder, "masks", stale))  # of an image that has left the set
    if not missing:
        mark_finished(folder, key, report)
    return report


def cosegment(
    images: Sequence[ImageDescriptors],
    config: CosegmentConfig,
    joined: Sequence[np.ndarray] | None = None,
) -> Cosegmentation:
    """Find the common foreground of a set, in memory.

    Args:
        images: of the set.
        config: rule ``consensus`` (`tasks.ops.consensus`) or one of Amir et al. 2021, section
            4.1, with the elbow's clusters kept or dropped whole (`tasks.ops.voting`).
        joined: (rows, cols, C) for each image, unit length, to work on in place of the images'
            own descriptors; see `read_joined`.
    """
    units = [unit(image.descriptors) for image in images] if joined is None else list(joined)
    outliers = _outliers(images, config)
    inside = np.flatnonzero(~outliers).tolist()
    points = np.concatenate([_flat(units[i]) for i in inside])
    clustering = elbow_kmeans(
        points,
        max_clusters=config.max_clusters,
        elbow=config.elbow,
        sample_step=config.sample_step,
        seed=config.seed,
        restarts=3,
    )
    labels = [assign(u, clustering.centers) for u in units]
    votes = vote_salient(
        [labels[i] for i in inside],
        [images[i].saliency for i in inside],
        clusters=len(clustering.centers),
        rule="votes" if config.rule == "votes" else "relative",
        threshold=config.threshold,
        share=config.share,
        ratio=config.ratio,
    )
    foreground = [np.zeros(u.shape[:2], dtype=np.float32) for u in units]
    if config.rule == "consensus":
        decided = _consensus(points, [images[i] for i in inside], config)
        votes = judge_by_foreground(votes, [labels[i] for i in inside], decided)
    else:
        decided = [soft_foreground(units[i], clustering.centers, votes.kept) for i in inside]
    for i, one in zip(inside, decided, strict=True):
        foreground[i] = one
    left_out = tuple(
        f"{images[i].name} is unlike the set and was left out; its mask is empty"
        for i in np.flatnonzero(outliers).tolist()
    )
    return Cosegmentation(
        clustering, votes, labels, foreground, outliers, (*votes.warnings, *left_out)
    )


@dataclass(frozen=True, slots=True)
class Joined:
    """Facets joined and reduced. axes: (D, C). descriptors: (rows, cols, C) for each image."""

    axes: np.ndarray
    descriptors: list[np.ndarray]


def read_joined(
    store: DescriptorStore,
    names: Sequence[str],
    config: CosegmentConfig,
    axes: np.ndarray | None = None,
) -> Joined:
    """All facets of the settings joined, reduced to a few axes that keep their inner products.

    `axes` are those of an earlier run, or fitted on evenly spaced images, so memory grows by
    the reduced descriptors alone (float32, unit length).
    """

    def read(name: str) -> np.ndarray:
        return join_facets([store.read(name, array) for array in config.arrays])

    if axes is None:
        step = -(-len(names) // _AXES_IMAGES)
        chosen = [_flat(read(name)) for name in names[::step]]
        every = -(-sum(map(len, chosen)) // _AXES_PATCHES)
        axes = principal_axes(np.concatenate(chosen)[::every])
    return Joined(axes, [unit(read(name) @ axes) for name in names])


def join_facets(facets: Sequence[np.ndarray]) -> np.ndarray:
    """Descriptors (rows, cols, D) of several facets side by side: each unit, so all count alike."""
    return unit(np.concatenate([unit(one) for one in facets], axis=-1))


def _consensus(
    points: np.ndarray, images: Sequence[ImageDescriptors], config: CosegmentConfig
) -> list[np.ndarray]:
    shapes = [image.saliency.shape for image in images]
    sizes = [rows * cols for rows, cols in shapes]
    found = consensus_foreground(
        points,
        np.concatenate([image.saliency.ravel() for image in images]),
        np.repeat(np.arange(len(images)), sizes),
        ratio=config.ratio,
        spread=config.spread,
        seed=config.seed,
    )
    parts = np.split(found.foreground, np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _flat(image: np.ndarray) -> np.ndarray:
    return image.reshape(-1, image.shape[-1])


def _outliers(images: Sequence[ImageDescriptors], config: CosegmentConfig) -> np.ndarray:
    cls = [image.cls for image in images if image.cls is not None]
    if config.outlier_cosine is None or len(cls) < len(images):
        return np.zeros(len(images), dtype=bool)
    return outlier_images(np.stack(cls), config.outlier_cosine)


def _write_masks(
    images: Sequence[ImageDescriptors],
    found: Cosegmentation,
    folder: str,
    config: CosegmentConfig,
) -> tuple[tuple[str, str], ...]:
    """Refine at the picture's resolution and write; returns (name, reason) of what is missing."""
    stems = result_stems(image.name for image in images)
    look = _look(images, found) if config.pictures else None
    records: list[ImageRecord] = []
    missing: list[tuple[str, str]] = []
    for index, image in enumerate(images):
        try:
            picture = read_image(image.ref)
        except UnreadableImageError as error:
            missing.append((image.name, error.reason))
            continue
        soft = to_image_size(found.foreground[index], image.grid)
        mask = refine(picture, soft, config.refinement, strongest=config.strongest)
        stem = stems[image.name]
        path = f"masks/{stem}.png"
        write_mask(join(folder, path), mask)
        if look is not None:
            view = ImageView(
                name=image.name,
                pixels=picture,
                grid=image.grid,
                saliency=image.saliency,
                clusters=found.labels[index],
                descriptors=image.descriptors,
                mask=mask,
                sketched={SKETCH: image.descriptors},
            )
            records.append(write_image(folder, index, view, look, mask=path))
    if look is not None:
        _write_page(folder, images, found, look, records, config)
    return tuple(missing)


def _look(images: Sequence[ImageDescriptors], found: Cosegmentation) -> SetLook:
    return set_look(
        [image.descriptors for image in images],
        [image.saliency for image in images],
        clusters=len(found.clustering.centers),
        sources=[SKETCH],
        binned=len(images) <= _BINNED_IMAGES,
    )


def _write_page(
    folder: str,
    images: Sequence[ImageDescriptors],
    found: Cosegmentation,
    look: SetLook,
    records: list[ImageRecord],
    config: CosegmentConfig,
) -> None:
    sample = [image.descriptors for image in images[:_SKETCH_SAMPLE]]
    label = f"layer {config.layer} {config.facet}"
    record = SetRecord(
        kind="coseg",
        name=folder.rstrip("/").rpartition("/")[2],
        images=tuple(records),
        clusters=cluster_records(found.votes, look),
        sketches=sketch_records(look.sketches, {SKETCH: label}, sample),
        warnings=found.warnings,
        settings=config.model_dump(mode="json"),
    )
    write_record(folder, record)
