"""Images in, a descriptor store out."""

from prefect import flow

from flows.names import RunName
from flows.runner import default_runner
from tasks.bars import working
from tasks.config import ExtractConfig
from tasks.extract import extract_partition, plan
from tasks.progress import gather, raise_failed
from tasks.summary import ExtractionSummary, counted, publish, summarise

DEFAULTS = ExtractConfig()


@flow(
    name="extract",
    flow_run_name=RunName("extract {images} with {config.model}"),
    task_runner=default_runner(),
)
def extract(
    images: str,
    store: str,
    config: ExtractConfig = DEFAULTS,
    only: tuple[str, ...] | None = None,
) -> ExtractionSummary:
    """Store the descriptors of every image that the store lacks.

    Args:
        images: folder, glob, list file or any fsspec URL of those.
        store: where the store is or will be: a local path or any fsspec URL.
        config: which descriptors.
        only: names of the images to extract; by default all. Others that the store holds are
            kept, and none is marked as gone.

    Raises:
        ExceptionGroup: partitions whose task failed after its retries; all others are stored,
            and running again computes only what is missing.
    """
    with working("listing images"):
        todo = plan(images, store, config, only)
    futures = {
        extract_partition.with_options(
            task_run_name=f"{part.grid[0]}x{part.grid[1]} {part.id[:8]}, "
            + counted(len(part.images), "image")
        ).submit(store, part, todo.config): len(part.images)
        for part in todo.partitions
    }
    reports, errors = gather("extracting images", futures, lost=lambda part: part.failed)
    summary = summarise(todo, reports, todo.failed_before)
    publish(summary, reports)
    raise_failed(
        errors,
        f"{len(errors)} of {len(futures)} partitions failed; run again to compute only those",
    )
    return summary
