"""What a source holds, as one digest, and the one run that is started for it."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from prefect import task
from prefect.deployments import run_deployment

from storage.images import list_images
from tasks.faults import STORAGE_RETRIES


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a source. digest: of their names, sizes and versions."""

    count: int
    digest: str


@task(name="list-source", task_run_name="list {images}", **STORAGE_RETRIES)
def list_source(images: str) -> Listing:
    """List `images`; any new, changed or removed file gives another digest."""
    digest = hashlib.blake2b(digest_size=16)
    count = 0
    for ref in list_images(images):
        digest.update(repr((ref.name, ref.bytes, ref.version)).encode())
        count += 1
    return Listing(count, digest.hexdigest())


@task(name="start-run", task_run_name="start {deployment}", **STORAGE_RETRIES)
def start_run(
    deployment: str, listing: Listing, parameters: dict[str, Any] | None
) -> tuple[str, bool]:
    """Start `deployment` for this listing unless that was done; the run's name, and whether."""
    before = datetime.now(UTC)
    run: Any = run_deployment(
        deployment,
        parameters=parameters,
        timeout=0,
        as_subflow=False,
        idempotency_key=f"{deployment} {listing.digest}",
    )
    return run.name, run.created is not None and run.created >= before
