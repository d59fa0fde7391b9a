"""What an extraction will do, as a value that can be printed before anything runs."""

import platform
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from storage.descriptors import DescriptorStore, Failure
from storage.errors import StorageError, StoreMismatchError, UnreadableImageError
from storage.images import ImageRef, image_size
from storage.planning import Partition, plan_partitions
from storage.survey import Survey
from tasks.config import ExtractConfig
from tasks.describe import grid_of, model_of
from tasks.model import resolve_device, resolve_precision

_PROBE_THREADS = 16
# Every image has the same grid under these, so no header needs to be read to plan.
_FIXED_GRID = ("square", "pad")
# Image, width, height, grid.
_Sized = tuple[ImageRef, int, int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class ExtractionPlan:
    """The work that is left.

    config: with a concrete precision. listed: images in the source. unchanged: already stored.
    failed_before: (name, reason) of images that an earlier run could not read, unchanged since.
    partitions: to be computed.
    unreadable: images whose header already tells that they cannot be read. gone: stored images
    that the source lacks.
    """

    source: str
    store: str
    config: ExtractConfig
    listed: int
    unchanged: int
    failed_before: tuple[tuple[str, str], ...]
    partitions: tuple[Partition, ...]
    unreadable: tuple[Failure, ...]
    gone: tuple[str, ...]

    @property
    def images(self) -> int:
        """Images to be computed."""
        return sum(len(partition.images) for partition in self.partitions)


def plan_extraction(
    images: Sequence[ImageRef],
    source: str,
    store_url: str,
    config: ExtractConfig,
    *,
    partial: bool = False,
) -> ExtractionPlan:
    """`draft_extraction`, and the store made if absent."""
    plan = draft_extraction(images, source, store_url, config, partial=partial)
    expected_store(store_url, plan.config).create()
    return plan


def draft_extraction(
    images: Sequence[ImageRef],
    source: str,
    store_url: str,
    config: ExtractConfig,
    *,
    partial: bool = False,
) -> ExtractionPlan:
    """Compare a listing with the store, if there is one, and cut what is missing into partitions.

    Nothing is written. partial: the listing is a part of the source, so that nothing counts as
    gone.

    Raises:
        StoreMismatchError: the store was made with other settings or weights.
        WeightsError, ValueError: settings that the model cannot serve.
    """
    config = settle_precision(config, store_url)
    store = expected_store(store_url, config)
    found = store.survey(images, retry_failures=config.retry_failures)
    changes = found.changes
    _refuse_strangers(found, source, store_url, config)
    sized, unreadable = _probe(changes.todo, config, model_of(config).patch)
    partitions = plan_partitions(sized, found.index, store.config_digest, config.partition_size)
    return ExtractionPlan(
        source=source,
        store=store_url,
        config=config,
        listed=len(images),
        unchanged=changes.unchanged,
        failed_before=tuple((mark.name, mark.reason) for mark in changes.failed),
        partitions=partitions,
        unreadable=unreadable,
        gone=() if partial else _gone(found, source, store_url, config),
    )


def expected_store(store_url: str, config: ExtractConfig) -> DescriptorStore:
    """The store that these settings lead to, whether or not it is there.

    Raises:
        StoreMismatchError: the store there was made with other settings or weights.
    """
    model = model_of(config)
    return DescriptorStore.expect(
        store_url,
        config=store_config(config),
        weights={"name": model.weights, "sha256": model.sha256},
        versions=library_versions(),
    )


def _gone(found: Survey, source: str, store: str, config: ExtractConfig) -> tuple[str, ...]:
    """Names to be marked as gone, unless nothing at all of what is stored is in the source."""
    if config.gone == "keep":
        return ()
    lacking = sum(name in found.index for name in found.changes.gone)
    if config.gone == "guard" and lacking and lacking == found.stored:
        raise StoreMismatchError(
            f"{source} holds none of the {lacking:,} images in {store}, so this is most likely "
            "another source: all of them would be marked as gone. Use another STORE, or say "
            "--gone keep (both sources in one store) or --gone mark (the images did leave)."
        )
    return found.changes.gone


def _refuse_strangers(found: Survey, source: str, store: str, config: ExtractConfig) -> None:
    """Refuse to replace images by others of the same names, as frames of two videos have them.

    A source that was moved has the same sizes at other URLs; where nothing of it is as it was
    stored and most sizes differ as well, it is another one. Where two sources share a store
    (``keep``) every image is one too many.
    """
    changed = found.changes.changed
    strangers = [
        (ref.name, stored.url)
        for ref in changed
        if (stored := found.index.images.get(ref.name)) is not None
        and stored.bytes != ref.bytes
        and _place(stored.url) != _place(ref.url)
    ]
    if not strangers or config.gone == "mark":
        return
    if config.gone == "guard" and (found.changes.unchanged or 2 * len(strangers) <= len(changed)):
        return
    name, url = strangers[0]
    raise StoreMismatchError(
        f"{store} holds other images under {len(strangers):,} of the names in {source}, e.g. "
        f"{name} from {url}: they would be replaced. Extract what lies above both sources, so "
        "that their names differ, or use another STORE. If the images moved and changed, say "
        "--gone mark."
    )


def _place(url: str) -> str:
    """The file that an image lies in, without its place in there."""
    return url.partition("#")[0]


def settle_precision(config: ExtractConfig, store_url: str) -> ExtractConfig:
    """Make ``auto`` concrete: what the store was made with, else what this hardware does best.

    Otherwise a store continued on another machine would mix precisions in silence.
    """
    if config.precision != "auto":
        return config
    try:
        stored = DescriptorStore.open(store_url).info.config.get("precision")
    except StorageError:
        stored = None
    concrete = stored or resolve_precision("auto", resolve_device(config.device))
    return config.replace(precision=concrete)


def store_config(config: ExtractConfig) -> dict[str, Any]:
    """The provenance in ``store.json``: the settings and what follows from the model."""
    model = model_of(config)
    facts = {name: getattr(model, name) for name in ("patch", "depth", "heads", "channels")}
    return config.identity() | facts


def library_versions() -> dict[str, str]:
    """Versions that may matter when numbers are compared; recorded, never compared."""
    names = ("patchflow", "torch", "timm", "numpy", "zarr", "prefect", "dask", "scikit-learn")
    return {"python": platform.python_version()} | {name: version(name) for name in names}


def _probe(
    refs: Sequence[ImageRef], config: ExtractConfig, patch: int
) -> tuple[list[_Sized], tuple[Failure, ...]]:
    """Each image's size and grid from its header, and those that cannot be used."""
    if config.fit in _FIXED_GRID:
        shape = grid_of(config, patch, config.size, config.size).shape
        return [(ref, 0, 0, shape) for ref in refs], ()

    def probe(ref: ImageRef) -> _Sized | Failure:
        try:
            width, height = image_size(ref, max_pixels=config.max_pixels)
        except UnreadableImageError as error:
            return Failure(ref, error.reason)
        rows, cols = grid_of(config, patch, width, height).shape
        if rows * cols > config.max_patches:
            return Failure(ref, _too_many(width, height, rows, cols, config))
        return ref, width, height, (rows, cols)

    with ThreadPoolExecutor(_PROBE_THREADS) as pool:
        probed = list(pool.map(probe, refs))
    sized = [found for found in probed if not isinstance(found, Failure)]
    return sized, tuple(found for found in probed if isinstance(found, Failure))


def _too_many(width: int, height: int, rows: int, cols: int, config: ExtractConfig) -> str:
    return (
        f"too many patches: {width}x{height} pixels make {rows}x{cols} of them, the limit is "
        f"{config.max_patches:,} (--max-patches); --fit square or pad bounds them"
    )
