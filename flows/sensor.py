"""A source in; a run of a deployment out, where the source has new files."""

from dataclasses import dataclass
from typing import Any

from prefect import flow

from tasks.sensor import Listing, list_source, start_run


@dataclass(frozen=True, slots=True)
class SensorSummary:
    """What a look at a source came to. run: name of the run for this listing, new or not."""

    images: str
    listing: Listing
    run: str
    started: bool

    @property
    def line(self) -> str:
        """One sentence for the terminal."""
        what = "started" if self.started else "nothing new since"
        return f"{self.listing.count} images in {self.images}; {what} run {self.run}"


@flow(name="sensor", flow_run_name="look at {images}")
def sensor(images: str, deployment: str, parameters: dict[str, Any] | None = None) -> SensorSummary:
    """Start `deployment` if `images` holds files that no run of it was started for.

    The names, sizes and versions of the files are the run's idempotency key: the Prefect server
    itself remembers what was started, and two sensors at once start one run.

    Args:
        images: folder, glob or list file; any fsspec URL.
        deployment: FLOW/NAME, e.g. pipeline/nightly.
        parameters: of the run; by default the deployment's own.
    """
    listing = list_source(images)
    run, started = start_run(deployment, listing, parameters)
    return SensorSummary(images, listing, run, started)
