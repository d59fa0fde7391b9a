"""Two images in (or all pairs of many), a few good correspondences out."""

from dataclasses import dataclass

from prefect import flow

from flows.extract import extract
from flows.names import RunName
from flows.pair_blocks import raise_blocks, submit_blocks
from flows.runner import default_runner, subflow
from storage.files import join
from tasks.correspond import PairReport, correspond_block, plan_pairs
from tasks.match_config import CorrespondConfig
from tasks.progress import gather
from tasks.report_task import make_report
from tasks.stored import stored_names
from tasks.summary import ExtractionSummary, counted

DEFAULTS = CorrespondConfig()


@dataclass(frozen=True, slots=True)
class CorrespondSummary:
    """The outcome of one run. report: URL of the report's first page."""

    out: str
    report: str
    extraction: ExtractionSummary
    pairs: tuple[PairReport, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Pairs with fewer matches than wanted, and why."""
        return tuple(f"{p.pair}: {p.warning}" for p in self.pairs if p.warning)

    @property
    def line(self) -> str:
        """One sentence for the terminal."""
        found = counted(sum(pair.matches for pair in self.pairs), "match", "matches")
        reused = sum(pair.reused for pair in self.pairs)
        again = f" ({reused} unchanged since an earlier run)" if reused else ""
        return f"{found} in {counted(len(self.pairs), 'pair')} of images{again}"


@flow(
    name="correspond",
    flow_run_name=RunName("correspond {a} and {b} with {config.model}"),
    task_runner=default_runner(),
)
def correspond(
    a: str,
    b: str,
    out: str,
    config: CorrespondConfig = DEFAULTS,
    store: str | None = None,
    pairs: str | None = None,
) -> CorrespondSummary:
    """Write matches.csv and matches.png of every pair below `out`, dense flow where it is wanted,
    and the report.

    Args:
        a: an image, or a folder, glob or list file.
        b: the same: all pairs of an image of `a` with one of `b` are matched; the same source
            twice gives all pairs of a set.
        out: where results are written: of one pair directly, of many in a folder each.
        config: descriptors and method.
        store: where the descriptors are or will be; by default OUT/store.
        pairs: URL of a CSV with the columns source,target that names the pairs wanted.

    Raises:
        ExceptionGroup: blocks of pairs that failed after their retries; the others are done.
    """
    store = store or join(out, "store")
    plan = plan_pairs(a, b, out, pairs)
    extracted = subflow(extract)(plan.images, store, config.extraction())
    known = stored_names(store)
    usable = [p for p in plan.pairs if p.source in known and p.target in known]
    futures = submit_blocks(
        correspond_block, usable, config.block, lambda _, block: (store, block, out, config)
    )
    reports, errors = gather("matching pairs", futures)
    done = tuple(sorted((p for block in reports for p in block), key=lambda p: p.pair))
    report = make_report(out, "correspondences", extracted.failures)
    raise_blocks(errors, futures)
    return CorrespondSummary(out, report, extracted, done)
