"""A store in, a codebook and label maps out."""

from dataclasses import dataclass

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.runner import default_runner
from tasks.cluster import ClusterReport, cluster_store
from tasks.parts_config import ClusterConfig

DEFAULTS = ClusterConfig()


@dataclass(frozen=True, slots=True)
class ClusterSummary:
    """The outcome of one run."""

    out: str
    report: ClusterReport

    @property
    def line(self) -> str:
        """One sentence for the terminal."""
        r = self.report
        return (
            f"{r.clusters} clusters of {r.patches} patches in {r.images} images, mean squared "
            f"distance {r.error:.4f} after {r.steps} steps"
        )


@flow(name="cluster", flow_run_name="cluster {store}", task_runner=default_runner())
def cluster(store: str, out: str, config: ClusterConfig = DEFAULTS) -> ClusterSummary:
    """Cluster every descriptor of `store`; see `tasks.cluster`.

    Args:
        store: of `patchflow extract`.
        out: where results are written.
        config: how.
    """
    summary = ClusterSummary(out, cluster_store.submit(store, out, config).result())
    create_markdown_artifact(f"# {summary.line}\n\nResults: `{out}`", key="clusters")
    return summary
