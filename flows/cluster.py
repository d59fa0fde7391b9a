"""A store in, a codebook and label maps out."""

from dataclasses import dataclass

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.runner import default_runner
from tasks.bars import working
from tasks.cluster import ClusterReport, cluster_store
from tasks.cluster_page import write_cluster_pages
from tasks.parts_config import ClusterConfig
from tasks.report_task import make_report
from tasks.summary import counted

DEFAULTS = ClusterConfig()


@dataclass(frozen=True, slots=True)
class ClusterSummary:
    """The outcome of one run. page: URL of the report's first page."""

    out: str
    page: str
    report: ClusterReport

    @property
    def line(self) -> str:
        """One sentence for the terminal."""
        r = self.report
        return (
            f"{counted(r.clusters, 'cluster')} of {counted(r.patches, 'patch', 'patches')} in "
            f"{counted(r.images, 'image')}, mean squared distance {r.error:.4f} after "
            f"{counted(r.steps, 'step')}"
        )


@flow(name="cluster", flow_run_name="cluster {store}", task_runner=default_runner())
def cluster(store: str, out: str, config: ClusterConfig = DEFAULTS) -> ClusterSummary:
    """Cluster every descriptor of `store`, see `tasks.cluster`, and write the report.

    Args:
        store: of `patchflow extract`.
        out: where results are written.
        config: how.
    """
    with working("clustering descriptors"):
        report = cluster_store.submit(store, out, config).result()
        write_cluster_pages(store, out, config)
    summary = ClusterSummary(out, make_report(out, "clusters"), report)
    create_markdown_artifact(f"# {summary.line}\n\nResults: `{out}`", key="clusters")
    return summary
