"""Images in, the objects in them out: boxes, masks, groups; nothing labelled anywhere."""

from dataclasses import dataclass

from prefect import flow

from flows.extract import extract
from flows.names import RunName
from flows.runner import default_runner, subflow
from storage.files import join
from tasks.bars import working
from tasks.bundles import bundle_size
from tasks.discover import discover_block, learn
from tasks.discover_config import DiscoverConfig
from tasks.discover_found import read_objectness
from tasks.discover_layer import choose_layer, examine_layer
from tasks.discover_results import DiscoverTotals, collect
from tasks.progress import gather, raise_failed
from tasks.report_task import make_report
from tasks.sets import result_stems
from tasks.stored import stored_sets
from tasks.summary import ExtractionSummary, counted

DEFAULTS = DiscoverConfig()


@dataclass(frozen=True, slots=True)
class DiscoverSummary:
    """The outcome of one run. report: URL of the report's first page. doubts: what speaks against
    the settings' layer and facet.
    """

    out: str
    report: str
    extraction: ExtractionSummary
    totals: DiscoverTotals
    doubts: tuple[str, ...]

    @property
    def missing(self) -> tuple[tuple[str, str], ...]:
        """(name, reason) of every image that could not be used."""
        return tuple(sorted({*self.extraction.failures, *self.totals.missing}))

    @property
    def line(self) -> str:
        """One sentence for the terminal."""
        t = self.totals
        empty = f", nothing in {t.empty}" if t.empty else ""
        groups = f", {counted(t.groups, 'group')}" if t.groups else ""
        lost = self.missing
        bad = f", {counted(len(lost), 'image')} could not be used" if lost else ""
        doubts = "".join(f"; warning: {doubt}" for doubt in self.doubts)
        found = f"{counted(t.objects, 'object')} in {counted(t.images, 'image')}"
        return f"{found}{empty}{groups}{bad}{doubts}"


@flow(
    name="discover",
    flow_run_name=RunName("discover {images} by {config.method} with {config.model}"),
    task_runner=default_runner(),
)
def discover(
    images: str,
    out: str,
    config: DiscoverConfig = DEFAULTS,
    store: str | None = None,
    only: tuple[str, ...] | None = None,
) -> DiscoverSummary:
    """Write ``OUT/boxes.json`` (COCO results), ``OUT/masks/<stem>.png`` and the report.

    Args:
        images: folder, glob, list file; any fsspec URL.
        out: where results are written; any fsspec URL.
        config: descriptors and method.
        store: where the descriptors are or will be; by default OUT/store.
        only: names of the images to use; by default all.

    Raises:
        ExceptionGroup: blocks or partitions that failed after their retries; the others are done.
    """
    store = store or join(out, "store")
    choice = None
    if config.auto_layer:
        with working("comparing layers"):
            choice = choose_layer(images, out, config, only)
    config = choice.applied(config) if choice else config
    if config.method == "objectness" and config.learned:
        read_objectness(config.learned, config)  # says what is wrong with it before hours of work
    extracted = subflow(extract)(images, store, config.extraction(), only)
    names = sorted(name for s in stored_sets(images, store, only) for name in s.images)
    if not names:
        raise ValueError(f"no image of {images} could be used; see the failures of {store}")
    stems = result_stems(names)
    doubts = () if choice else examine_layer(store, names, config)
    learned = None
    if config.method == "objectness":
        with working("learning what an object is"):
            learned = config.learned or learn(store, names, out, config)
    size = bundle_size(len(names), config.block)
    blocks = {i: tuple(names[i : i + size]) for i in range(0, len(names), size)}
    futures = {}
    for first, block in blocks.items():
        work = discover_block.with_options(
            task_run_name=f"images {first + 1} to {first + len(block)}"
        )
        files = tuple(stems[name] for name in block)
        futures[work.submit(store, block, files, first, out, config, learned)] = len(block)
    folders, errors = gather("discovering objects", futures)
    totals = collect(folders, images, out, config, tuple(stems.values()), choice, doubts)
    report = make_report(out, "object discovery", (*extracted.failures, *totals.missing))
    raise_failed(
        errors, f"{len(errors)} of {len(blocks)} blocks failed; run again to do only those"
    )
    return DiscoverSummary(out, report, extracted, totals, doubts)
