"""The benchmarks of `patchflow evaluate`; imports nothing heavy.

To add one: a module in `tasks.benchmarks` loads its layout and scores results; a flow
``evaluate_<family>`` in ``flows/evaluate_<family>.py`` takes (benchmark, root, out, config,
choice) and returns `tasks.scores.Scores`; an entry below names them. `patchflow evaluate NAME`
and its options follow from the entry.
"""

from dataclasses import dataclass

from tasks.config import CosegmentConfig, ExtractConfig


@dataclass(frozen=True, slots=True)
class Choice:
    """A part of a benchmark. names: classes or sequences, all if empty. limit: items of each."""

    names: tuple[str, ...] = ()
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One entry of `patchflow evaluate`. flow: ``module:function``. parts: what names select."""

    config: type[ExtractConfig]
    flow: str
    parts: str
    about: str


BENCHMARKS: dict[str, Benchmark] = {
    "pascal-coseg": Benchmark(
        CosegmentConfig,
        "flows.evaluate_coseg:evaluate_coseg",
        "classes",
        "PASCAL-VOC co-segmentation set of Faktor & Irani 2013: Jaccard and precision.",
    ),
}
