"""Keypoints of one image in, the same points in another out."""

from dataclasses import dataclass

from prefect import flow

from flows.extract import extract
from flows.names import RunName
from flows.runner import default_runner, subflow
from storage.files import join
from tasks.correspond import plan_pairs
from tasks.match_config import MatchConfig
from tasks.report_task import make_report
from tasks.summary import ExtractionSummary
from tasks.transfer import TransferReport, transfer_keypoints

DEFAULTS = MatchConfig()


@dataclass(frozen=True, slots=True)
class TransferSummary:
    """The outcome of one run. page: URL of the report's first page."""

    out: str
    page: str
    extraction: ExtractionSummary
    report: TransferReport

    @property
    def line(self) -> str:
        """One sentence for the terminal."""
        return f"{self.report.points} points, mean confidence {self.report.confidence:.2f}"


@flow(
    name="transfer",
    flow_run_name=RunName("transfer {keypoints} from {a} to {b} with {config.model}"),
    task_runner=default_runner(),
)
def transfer(
    a: str,
    b: str,
    keypoints: str,
    out: str,
    config: MatchConfig = DEFAULTS,
    store: str | None = None,
) -> TransferSummary:
    """Write OUT/keypoints.csv, the points of image `a` where they lie in image `b`, and the report.

    Args:
        a: the image that the points are of.
        b: the image that they are carried to.
        keypoints: URL of a CSV with the columns x,y in pixels of `a`.
        out: where results are written.
        config: descriptors and method.
        store: where the descriptors are or will be; by default OUT/store.

    Raises:
        ValueError: more than one image on a side, an image that cannot be read, or keypoints
            without columns x,y.
    """
    store = store or join(out, "store")
    plan = plan_pairs(a, b, out)
    if len(plan.pairs) != 1:
        raise ValueError(f"transfer takes one image on each side; got {len(plan.pairs)} pairs")
    extracted = subflow(extract)(plan.images, store, config.extraction())
    if extracted.failures:
        name, reason = extracted.failures[0]
        raise ValueError(f"{name} cannot be read: {reason}")
    report = transfer_keypoints(store, plan.pairs[0], keypoints, out, config)
    return TransferSummary(out, make_report(out, "keypoint transfer"), extracted, report)
