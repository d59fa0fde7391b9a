"""Images in, a mask of their common object out."""

from prefect import flow

from flows.extract import extract
from flows.names import RunName
from flows.runner import default_runner, subflow
from storage.files import join
from tasks.bundles import bundles
from tasks.config import CosegmentConfig
from tasks.cosegment import cosegment_sets
from tasks.cosegment_summary import (
    CosegmentSummary,
    count_missing,
    publish_sets,
    summarise_sets,
    unusable,
)
from tasks.progress import gather, raise_failed
from tasks.report_task import make_report
from tasks.stored import stored_sets

DEFAULTS = CosegmentConfig()


@flow(
    name="cosegment",
    flow_run_name=RunName("cosegment {images} with {config.model}"),
    task_runner=default_runner(),
)
def cosegment(
    images: str,
    out: str,
    config: CosegmentConfig = DEFAULTS,
    store: str | None = None,
    only: tuple[str, ...] | None = None,
) -> CosegmentSummary:
    """Write ``OUT/<set>/masks/<stem>.png`` for every image, and the report.

    Args:
        images: one folder of images is one set, a folder of folders is many; any fsspec URL.
        out: where results are written; any fsspec URL.
        config: descriptors and method.
        store: where the descriptors are or will be; by default OUT/store.
        only: names of the images to use; by default all.

    Raises:
        ExceptionGroup: tasks (of partitions, of sets) that failed after their retries; the
            others are done.
    """
    store = store or join(out, "store")
    extracted = subflow(extract)(images, store, config.extraction(), only)
    sets = stored_sets(images, store, only)
    futures = {
        cosegment_sets.with_options(task_run_name=bundle.name).submit(
            store, bundle.sets, out, config
        ): bundle.images
        for bundle in bundles(sets)
    }
    done, errors = gather("co-segmenting images", futures, lost=count_missing)
    reports = [report for bundle in done for report in bundle]
    report = make_report(out, "co-segmentation", unusable(extracted, reports))
    summary = summarise_sets(out, report, extracted, reports)
    publish_sets(summary)
    raise_failed(
        errors, f"{len(errors)} of {len(futures)} tasks failed; run again to do only those sets"
    )
    return summary
