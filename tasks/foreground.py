"""The object that a set's images share: learnt from some of them, decided in each.

Whatever the rule, what decides a patch is small: a linear function of its descriptor, or the
centres of clusters and which of them are kept. So the memory that a set needs is that of the
images it is learnt from, and any part of it can be decided anywhere.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from storage.descriptors import DescriptorStore
from tasks.config import CosegmentConfig
from tasks.joined import fit_axes, read_joined
from tasks.ops.consensus import Consensus, Linear, consensus_foreground, decide
from tasks.ops.kmeans import Clustering, assign, elbow_kmeans
from tasks.ops.patch_grid import unit
from tasks.ops.voting import (
    ClusterVotes,
    cls_center,
    judge_by_foreground,
    resembles,
    soft_foreground,
    vote_salient,
)
from tasks.set_likeness import (
    COMPARED_IMAGES,
    compared_array,
    likeness_warnings,
    measure_likeness,
)
from tasks.stored import ImageDescriptors, read_descriptors


@dataclass(frozen=True, slots=True)
class Sample:
    """Images that a set is learnt from.

    units: (rows, cols, C) float32 each, unit length. saliency: (rows, cols) each. cls: (D,)
    each, None for models without a CLS token.
    """

    names: tuple[str, ...]
    units: list[np.ndarray]
    saliency: list[np.ndarray]
    cls: list[np.ndarray] | None


@dataclass(frozen=True, slots=True)
class SetModel:
    """What tells the object of a set from the rest.

    axes: (D, C) of the joined facets (`tasks.joined`), None where the main facet is worked on
    alone. clustering, votes: the clusters that the report shows. decision: of rule consensus;
    None where the clusters themselves decide. center: (D,) the images' mean CLS direction, None
    where no image is left out for being unlike it. warnings: what a user should know.
    """

    axes: np.ndarray | None
    clustering: Clustering
    votes: ClusterVotes
    decision: Linear | None
    center: np.ndarray | None
    warnings: tuple[str, ...]
    likeness: float | None = None

    def read(
        self, store: DescriptorStore, image: ImageDescriptors, config: CosegmentConfig
    ) -> np.ndarray:
        """What the model works on of one image: (rows, cols, C) float32, unit length."""
        if self.axes is None:
            return unit(image.descriptors)
        return read_joined(store, image.name, config, self.axes)

    def decide(self, units: np.ndarray) -> np.ndarray:
        """Foreground (rows, cols) float32 in [0, 1] of one image, foreground above 0.5."""
        if self.decision is not None:
            return decide(self.decision, units)
        return soft_foreground(units, self.clustering.centers, self.votes.kept)

    def decide_sample(self, sample: Sample, config: CosegmentConfig) -> list[np.ndarray]:
        """`decide` for every image of a sample; zeros for outliers."""
        return [self._decide_one(sample, number, config) for number in range(len(sample.units))]

    def _decide_one(self, sample: Sample, number: int, config: CosegmentConfig) -> np.ndarray:
        if sample.cls is not None and self.unlike(sample.cls[number], config):
            return np.zeros(sample.units[number].shape[:2], dtype=np.float32)
        return self.decide(sample.units[number])

    def compared(
        self, sample: Sample, described: Iterable[np.ndarray], config: CosegmentConfig
    ) -> "SetModel":
        """This model with the likeness of the sample's objects, and a warning where it is low.

        Args:
            described: descriptors (rows, cols, D) of the images `compared_images`.
        """
        numbers = compared_images(len(sample.units))
        foreground = (self._decide_one(sample, number, config) for number in numbers)
        found = measure_likeness(described, foreground)
        told = likeness_warnings(found, config)
        return replace(self, likeness=found, warnings=(*self.warnings, *told))

    def label(self, units: np.ndarray) -> np.ndarray:
        """(rows, cols) int32: the cluster of each patch."""
        return assign(units, self.clustering.centers)

    def unlike(self, cls: np.ndarray | None, config: CosegmentConfig) -> bool:
        """Whether an image with this CLS descriptor is an outlier: its mask stays empty."""
        if self.center is None or cls is None or config.outlier_cosine is None:
            return False
        return not resembles(cls, self.center, config.outlier_cosine)


def compared_images(count: int) -> range:
    """Numbers of the images of a sample whose objects are compared: some, evenly spaced."""
    return range(0, count, -(-count // COMPARED_IMAGES))


def learn_stored(
    store: DescriptorStore,
    names: Sequence[str],
    config: CosegmentConfig,
    axes: np.ndarray | None = None,
) -> tuple[SetModel, Sample]:
    """The model of a stored set, from at most `config.sample_images` evenly spaced images.

    Args:
        axes: of an earlier run's joined facets; fitted where they are needed and not given.
    """
    chosen = tuple(names[:: -(-len(names) // config.sample_images)])
    if axes is None and config.rule == "consensus":
        axes = fit_axes(store, chosen, config)
    units, saliency, cls = [], [], []
    for image in read_descriptors(store, chosen):
        if axes is None:
            units.append(unit(image.descriptors))
        else:
            units.append(read_joined(store, image.name, config, axes))
        saliency.append(image.saliency)
        if image.cls is not None:
            cls.append(image.cls)
    sample = Sample(chosen, units, saliency, cls if len(cls) == len(chosen) else None)
    array = compared_array(config)
    described = (store.read(chosen[i], array) for i in compared_images(len(chosen)))
    return learn(sample, config, axes).compared(sample, described, config), sample


def learn(sample: Sample, config: CosegmentConfig, axes: np.ndarray | None = None) -> SetModel:
    """Rule ``consensus`` (`tasks.ops.consensus`) or one of Amir et al. 2021, section 4.1, with
    the elbow's clusters kept or dropped whole (`tasks.ops.voting`).
    """
    center, inside = _without_outliers(sample, config.outlier_cosine)
    units, saliency = [sample.units[i] for i in inside], [sample.saliency[i] for i in inside]
    points = np.concatenate([one.reshape(-1, one.shape[-1]) for one in units])
    clustering = elbow_kmeans(
        points,
        max_clusters=config.max_clusters,
        elbow=config.elbow,
        sample_step=config.sample_step,
        seed=config.seed,
        restarts=3,
    )
    labels = [assign(one, clustering.centers) for one in units]
    votes = vote_salient(
        labels,
        saliency,
        clusters=len(clustering.centers),
        rule="votes" if config.rule == "votes" else "relative",
        threshold=config.threshold,
        share=config.share,
        ratio=config.ratio,
    )
    decision: Linear | None = None
    if config.rule == "consensus":
        found = _consensus(points, saliency, config)
        decided = [decide(found.decision, one) for one in units]
        votes = judge_by_foreground(votes, labels, decided)
        decision = found.decision
    return SetModel(axes, clustering, votes, decision, center, votes.warnings)


def cosegment(
    images: Sequence[ImageDescriptors],
    config: CosegmentConfig,
    described: Sequence[np.ndarray] | None = None,
) -> tuple[SetModel, list[np.ndarray]]:
    """Model and foreground, (rows, cols) each, of a set in memory, from its main facet alone.

    Args:
        described: (rows, cols, D) each, of the facet of `compared_array`; objects are not
            compared without.
    """
    units = [unit(image.descriptors) for image in images]
    cls = [image.cls for image in images if image.cls is not None]
    sample = Sample(
        names=tuple(image.name for image in images),
        units=units,
        saliency=[image.saliency for image in images],
        cls=cls if len(cls) == len(images) else None,
    )
    model = learn(sample, config)
    if described is not None:
        chosen = (described[i] for i in compared_images(len(images)))
        model = model.compared(sample, chosen, config)
    return model, model.decide_sample(sample, config)


def _without_outliers(
    sample: Sample, threshold: float | None
) -> tuple[np.ndarray | None, list[int]]:
    """The sample's CLS centre, None where nothing is left out, and the numbers of its own."""
    everything = list(range(len(sample.units)))
    if threshold is None or sample.cls is None:
        return None, everything
    cls = np.stack(sample.cls)
    center = cls_center(cls, threshold)
    if center is None:
        return None, everything
    return center, np.flatnonzero(resembles(cls, center, threshold)).tolist()


def _consensus(
    points: np.ndarray, saliency: Sequence[np.ndarray], config: CosegmentConfig
) -> Consensus:
    return consensus_foreground(
        points,
        np.concatenate([one.ravel() for one in saliency]),
        np.repeat(np.arange(len(saliency)), [one.size for one in saliency]),
        ratio=config.ratio,
        spread=config.spread,
        seed=config.seed,
    )
