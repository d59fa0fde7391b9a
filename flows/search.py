"""A point of one image in, the most similar patches of a whole store out."""

from dataclasses import dataclass

from prefect import flow

from flows.runner import default_runner
from tasks.bars import working
from tasks.report_task import make_report
from tasks.search import SearchReport, search_store
from tasks.search_page import write_hits


@dataclass(frozen=True, slots=True)
class SearchSummary:
    """The outcome of one run. page: URL of the report's first page."""

    out: str
    page: str
    report: SearchReport

    @property
    def line(self) -> str:
        """One sentence for the terminal."""
        return f"{len(self.report.hits)} hits among {self.report.patches} patches"


@flow(
    name="search",
    flow_run_name="search {store} for {point} of {image}",
    task_runner=default_runner(),
)
def search(
    store: str,
    image: str,
    out: str,
    point: tuple[float, float],
    hits: int = 100,
    every_patch: bool = False,
    device: str = "auto",
) -> SearchSummary:
    """Write OUT/hits.csv, the contact sheet OUT/hits.png and the report.

    Args:
        store: a descriptor store.
        image: the query; it need not be in the store.
        out: where results are written.
        point: (x, y) in pixels of the query.
        hits: how many to list.
        every_patch: not only the best patch of each image.
        device: auto (a GPU where there is one), cpu or cuda.
    """
    with working("searching"):
        found = search_store(store, image, point, hits, every_patch=every_patch, device=device)
    written = write_hits(store, image, point, found, out)
    return SearchSummary(out, make_report(out, "patch search"), written)
