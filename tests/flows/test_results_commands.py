"""`patchflow presets` and `patchflow compare`, as one reads them and as programs do."""

import json
from pathlib import Path

from click.testing import CliRunner, Result

from flows.benchmarks import BENCHMARKS
from flows.cli import main
from tasks.presets import PRESETS
from tasks.scores import Scores, write_scores


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_presets_are_listed_with_what_was_published() -> None:
    text = run("presets").stdout
    for name, preset in PRESETS.items():
        assert f"\n{name}\n" in f"\n{text}"
        assert preset.published in text
        assert preset.source in text
    assert "numbers are published ones, not measured here" in text
    # The command that each is measured with exists.
    assert {e for p in PRESETS.values() for e in p.evaluates} <= set(BENCHMARKS)
    assert all(p.evaluates for p in PRESETS.values())


def test_the_readme_names_every_benchmark_and_what_was_published() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    for name, p in PRESETS.items():
        assert f"| `{name}` | {p.benchmark} | {p.published} | {p.source} |\n" in readme
    section = readme.split("## Evaluation\n")[1].split("\n## ")[0]
    named = section.replace(
        "both with `-unsupervised`", "`davis2016-unsupervised`, `davis2017-unsupervised`"
    )
    assert [name for name in BENCHMARKS if f"`{name}`" not in named] == []


def test_one_preset_shows_all_it_pins() -> None:
    text = run("presets", "tokencut-fullres").stdout
    assert "tau 0.2" in text
    assert "by_saliency False" in text
    summary = json.loads(run("presets", "tokencut-fullres", "--json").stdout)["summary"]
    assert summary["tokencut-fullres"]["settings"]["tau"] == 0.2
    assert summary["tokencut-fullres"]["published"] == "68.8 / 72.1 / 58.8"
    missing = run("presets", "nothing")
    assert missing.exit_code == 1
    assert "no preset 'nothing'; there are: amir2021-corr" in missing.stderr


def test_compare_says_what_is_beyond_noise(tmp_path: Path) -> None:
    for name, score in (("a", 0.25), ("b", 0.75)):
        write_scores(
            str(tmp_path / name),
            Scores({"j": score}, {}, {f"{i}": {"j": score} for i in range(10)}, {"name": "w"}),
            benchmark="davis2016",
            preset=None if name == "a" else "dino-davis480",
            settings={"layer": 6 if name == "a" else 11},
            seconds=1,
        )
    result = run("compare", str(tmp_path / "a"), str(tmp_path / "b"))
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == "score A default B dino-davis480 B - A 95 %"
    assert lines[1] == "j 25.00 75.00 +50.00 +50.00 to +50.00 beyond noise"
    assert "layer 6 11" in lines
    summary = json.loads(run("compare", *map(str, tmp_path.iterdir()), "--json").stdout)["summary"]
    assert summary["differences"][0]["beyond_noise"] is True
    refused = run("compare", str(tmp_path), str(tmp_path / "a"))
    assert refused.exit_code == 1
    assert "metrics.json" in refused.stderr
