"""Evaluations twice the same, shared, interrupted and on Dask, on the tiniest data sets."""

import os
from pathlib import Path
from typing import Any

import pytest
from tiny_benchmarks import cub, davis, davis_unsupervised, pascal_coseg, pf_willow, voc

from flows.evaluate import evaluate
from flows.evaluate_settings import settings_of
from flows.runner import make_runner
from storage.results import read_json
from tasks import chosen, describe, propagate, report_benchmark
from tasks.benchmarks import pck_scores
from tasks.config import CosegmentConfig, ExtractConfig
from tasks.discover_config import DiscoverConfig
from tasks.match_config import MatchConfig
from tasks.video_config import PropagateConfig

pytestmark = pytest.mark.usefixtures("prefect_server")
long = pytest.mark.skipif(
    "PATCHFLOW_LONG_TESTS" not in os.environ, reason="set PATCHFLOW_LONG_TESTS=1: half a minute"
)

TINY = {
    "model": "test_vit", "weights": "random", "layer": 5, "stride": 8, "size": 64,
    "precision": "float32", "also": (),
}  # fmt: skip
MATCH = MatchConfig(**TINY, facet="token", hierarchy=0)
CASES = {
    "pascal-coseg": (pascal_coseg, CosegmentConfig(**TINY, sample_step=1, rule="relative")),
    "pf-willow": (pf_willow, MATCH),
    "voc2007": (voc, DiscoverConfig(**TINY, method="token_cut")),
    "davis2017": (davis, PropagateConfig(**TINY, stride_x=None, channels=None, recent=2)),
}


def must_not_run(*_: Any, **__: Any) -> Any:
    raise AssertionError("nothing was left to do")


@pytest.mark.parametrize("name", CASES)
def test_twice_the_same_and_nothing_is_done_again(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, config = CASES[name]
    write(tmp_path / "data")
    monkeypatch.setattr(chosen, "_MOST", 0)  # names travel in a file, as 20,000 would
    first = Path(evaluate(name, str(tmp_path / "data"), str(tmp_path / "a"), config).metrics)
    content = read_json(str(first))
    assert content["scores"]
    assert content["count"] == len(content["items"]) > 0
    # Somewhere else, told by a form, it comes to the same, apart from what it cost.
    form = config.model_dump(mode="json")
    other = read_json(evaluate(name, str(tmp_path / "data"), str(tmp_path / "b"), form).metrics)
    cost = {"seconds", "peak_memory_bytes"}
    assert {k: v for k, v in other.items() if k not in cost} == {
        k: v for k, v in content.items() if k not in cost
    }
    before = first.read_bytes()
    monkeypatch.setattr(describe, "extract_facets", must_not_run)
    monkeypatch.setattr(propagate, "run_clip", must_not_run)
    evaluate(name, str(tmp_path / "data"), str(tmp_path / "a"), config)
    assert first.read_bytes() == before


SALIENT = {"rule": "relative", "ratio": 0.01, "sample_step": 1, "parts": 2, "hierarchy": 0}
OTHERS = {
    "davis2017-unsupervised": (
        davis_unsupervised,
        {"recent": 2, "channels": None, "stride_x": None},
        "j&f",
    ),
    "cub": (cub, SALIENT, "landmark_error"),
    "pf-willow-parts": (pf_willow, SALIENT, "agreement"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_benchmarks_that_no_preset_measures_run_too(name: str, tmp_path: Path) -> None:
    write, settings, score = OTHERS[name]
    write(tmp_path / "data")
    tiny = TINY | settings | ({} if "davis" in name else {"refinement": "none", "pictures": False})
    content = read_json(evaluate(name, str(tmp_path / "data"), str(tmp_path / "out"), tiny).metrics)
    assert content["count"] == len(content["items"]) > 0
    assert score in content["scores"]


def test_settings_of_a_form_win_over_its_preset() -> None:
    settings = settings_of("davis2017", {"radius": 3}, "dino-davis480")
    assert isinstance(settings, PropagateConfig)
    assert (settings.radius, settings.top_k, settings.size) == (3, 5, 480)
    assert settings_of("voc2007", None, None) == DiscoverConfig()
    assert settings_of("pf-willow", MATCH, "amir2021-corr") is MATCH


@pytest.mark.parametrize(
    ("benchmark", "given", "preset", "message"),
    [
        ("davis", None, None, "no benchmark 'davis'; there are: pascal-coseg, "),
        ("davis2017", {"radius": 3, "hits": 1}, None, "davis2017 .Propagate.*hits: Extra inputs"),
        ("davis2017", {"stride": 0}, None, "stride: Input should be greater than or equal to 1"),
        ("davis2017", MATCH, None, "takes the settings of PropagateConfig; got MatchConfig"),
        ("davis2017", None, "lost-fullres", "no preset 'lost-fullres' for PropagateConfig"),
    ],
)
def test_settings_of_something_else_are_refused(
    benchmark: str, given: Any, preset: str | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        settings_of(benchmark, given, preset)


def willow(tmp_path: Path, pairs: int) -> str:
    pf_willow(tmp_path / "data", pairs)
    return str(tmp_path / "data")


def scores_of(metrics: str) -> Any:
    content = read_json(metrics)
    return content["scores"], content["items"]


def test_an_interrupted_evaluation_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, config = willow(tmp_path, 3), MATCH.replace(block=1)
    real = pck_scores._errors
    done: list[str] = []
    broken = "0001"

    def watched(pair: Any, *rest: Any) -> Any:
        if pair.name == broken:
            raise TypeError("the machine dies")
        done.append(pair.name)
        return real(pair, *rest)

    monkeypatch.setattr(pck_scores, "_errors", watched)
    with pytest.raises(ExceptionGroup, match="1 of 3 blocks of pairs failed; run again to do"):
        evaluate("pf-willow", root, str(tmp_path / "out"), config)
    assert sorted(done) == ["0000", "0002"]
    assert not (tmp_path / "out" / "metrics.json").exists()
    broken = ""
    monkeypatch.setattr(describe, "extract_facets", must_not_run)
    resumed = evaluate("pf-willow", root, str(tmp_path / "out"), config)
    assert sorted(done) == ["0000", "0001", "0002"]
    monkeypatch.undo()
    monkeypatch.setattr(report_benchmark, "_CASES", 1)
    whole = evaluate("pf-willow", root, str(tmp_path / "whole"), config.replace(block=64))
    assert scores_of(resumed.metrics) == scores_of(whole.metrics)
    # The worst, the median and the best pair are drawn, and on the benchmark's page.
    assert len(list((tmp_path / "whole" / "cases" / "pictures").iterdir())) == 3
    shown = (tmp_path / "whole" / "report" / "pictures" / "metrics-benchmark").iterdir()
    assert len(list(shown)) == 3


@long
def test_blocks_of_pairs_through_dask_come_to_the_same(tmp_path: Path) -> None:
    root, config = willow(tmp_path, 3), MATCH.replace(block=1)
    threads = evaluate("pf-willow", root, str(tmp_path / "threads"), config)
    runner = make_runner("dask")
    dask = evaluate.with_options(task_runner=runner)("pf-willow", root, str(tmp_path / "d"), config)
    assert scores_of(dask.metrics) == scores_of(threads.metrics)
    assert len(list((tmp_path / "d" / "blocks").iterdir())) == 3


@long
def test_another_task_finds_the_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings of the task, not of the extraction: the store of the first run serves the second."""
    write, config = CASES["pascal-coseg"]
    write(tmp_path / "data")
    assert isinstance(config, ExtractConfig)
    evaluate("pascal-coseg", str(tmp_path / "data"), str(tmp_path / "out"), config)
    monkeypatch.setattr(describe, "extract_facets", must_not_run)
    again = config.replace(max_clusters=2)
    summary = evaluate("pascal-coseg", str(tmp_path / "data"), str(tmp_path / "out"), again)
    assert read_json(summary.metrics)["settings"]["max_clusters"] == 2
