"""Images in, the parts of their common object out."""

from prefect import flow

from flows.extract import extract
from flows.names import RunName
from flows.runner import default_runner, subflow
from storage.files import join
from tasks.bundles import bundles
from tasks.cosegment_summary import (
    CosegmentSummary,
    count_missing,
    publish_sets,
    summarise_sets,
    unusable,
)
from tasks.part_codebook import read_parts
from tasks.parts import parts_sets
from tasks.parts_config import PartsConfig
from tasks.progress import gather, raise_failed
from tasks.report_task import make_report
from tasks.stored import stored_sets

DEFAULTS = PartsConfig()


@flow(
    name="parts",
    flow_run_name=RunName("parts of {images} with {config.model}"),
    task_runner=default_runner(),
)
def parts(
    images: str,
    out: str,
    config: PartsConfig = DEFAULTS,
    store: str | None = None,
    only: tuple[str, ...] | None = None,
) -> CosegmentSummary:
    """Write ``OUT/<set>/parts/<stem>.png`` for every image, and the report.

    Args:
        images: one folder of images is one set, a folder of folders is many; any fsspec URL.
        out: where results are written; any fsspec URL.
        config: descriptors and method.
        store: where the descriptors are or will be; by default OUT/store.
        only: names of the images to use; by default all.

    Raises:
        StorageError: a codebook that cannot be used, before anything is extracted.
        ExceptionGroup: tasks (of partitions, of sets) that failed after their retries; the
            others are done.
    """
    store = store or join(out, "store")
    if config.codebook:
        read_parts(config.codebook, config)  # says what is wrong with it before hours of work
    extracted = subflow(extract)(images, store, config.extraction(), only)
    sets = stored_sets(images, store, only)
    futures = {
        parts_sets.with_options(task_run_name=bundle.name).submit(
            store, bundle.sets, out, config
        ): bundle.images
        for bundle in bundles(sets)
    }
    done, errors = gather("finding parts", futures, lost=count_missing)
    reports = [report for bundle in done for report in bundle]
    report = make_report(out, "parts", unusable(extracted, reports))
    summary = summarise_sets(out, report, extracted, reports)
    publish_sets(summary)
    raise_failed(
        errors, f"{len(errors)} of {len(futures)} tasks failed; run again to do only those sets"
    )
    return summary
