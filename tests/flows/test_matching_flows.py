"""Matching from the command line: pairs, keypoints, search, and the benchmarks of them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.testing import assert_allclose
from PIL import Image
from random_photos import write_photo
from tiny_tss import write_pair

from flows.cli import main
from storage.descriptors import DescriptorStore
from tasks.ops.flow import decode_flow
from tasks.report_records import read_record
from tasks.search import describe_point

pytestmark = pytest.mark.usefixtures("prefect_server")

TINY = ["--model", "test_vit", "--weights", "random", "--stride", "8", "--size", "96"]
TINY += ["--precision", "float32"]
MATCHING = [*TINY, "--layer", "3", "--facet", "key", "--also", "2.token"]


def run(*arguments: object, status: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == status, result.output
    return result


def rows(path: Path) -> list[dict[str, float]]:
    with path.open() as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return write_photo(tmp_path / "a.png", 1, 160, 120)


def test_an_image_matches_itself_and_its_flow_stands_still(picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    salient = ["--threshold", "0", "--flow", "image"]
    result = run("correspond", picture, picture, out, *MATCHING, *salient)
    assert "10 matches in 1 pair of images" in result.stdout
    found = rows(out / "matches.csv")
    assert len(found) == 10
    for row in found:
        assert (row["source_x"], row["source_y"]) == (row["target_x"], row["target_y"])
        assert row["similarity"] == pytest.approx(1, abs=1e-4)
    flow = decode_flow((out / "flow.flo").read_bytes())
    assert flow.shape == (120, 160, 2)
    assert np.abs(flow[30:90, 40:120]).max() < 3
    with Image.open(out / "matches.png") as drawn:
        assert drawn.width > 320
    record = read_record(str(out / "set.json"))
    assert "warped" in record.images[0].pictures
    again = run("correspond", picture, picture, out, *MATCHING, *salient)
    assert "1 unchanged since an earlier run" in again.stdout


def test_sizes_that_differ_and_too_few_matches(picture: Path, tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    with Image.open(picture) as image:
        image.resize((480, 90)).save(large)
    out = tmp_path / "out"
    result = run("correspond", picture, large, out, *MATCHING, "--pairs", "500")
    assert "of 500 pairs wanted: there are" in result.stderr
    found = rows(out / "matches.csv")
    assert max(row["target_x"] for row in found) > 160
    nothing = run("correspond", picture, large, tmp_path / "no", *MATCHING, "--threshold", "1")
    assert "is more salient than 1.0: no correspondences; lower --threshold" in nothing.stderr
    assert rows(tmp_path / "no" / "matches.csv") == []


def test_keypoints_are_carried_over_and_bad_ones_refused(picture: Path, tmp_path: Path) -> None:
    points = tmp_path / "points.csv"
    points.write_text("name,x,y\neye,80,60\near,40.5,50\n")
    out = tmp_path / "out"
    assert "2 points" in run("transfer", picture, picture, points, out, *MATCHING).stdout
    with (out / "keypoints.csv").open() as file:
        found = list(csv.DictReader(file))
    assert [row["name"] for row in found] == ["eye", "ear"]
    assert_allclose([float(found[0][k]) for k in "xy"], [80, 60], atol=3)
    assert 0 < float(found[0]["confidence"]) <= 1
    page = read_record(f"{out}/set.json")
    assert [(m.source_x, m.source_y) for m in page.matches] == [(80, 60), (40.5, 50)]
    assert (out / "report" / "index.html").exists()
    points.write_text("x,y\n500,60\n")
    result = run("transfer", picture, picture, points, out, *MATCHING, status=1)
    assert "row 1: the point 500,60 lies outside a.png, which has 160x120 pixels" in result.stderr


@pytest.mark.parametrize("stored", [("float32",), ("int8",), ("int8", "--pca", "40")])
def test_search_finds_the_image_itself_first(
    picture: Path, tmp_path: Path, stored: tuple[str, ...]
) -> None:
    folder, store = tmp_path / "photos", tmp_path / "store"
    for seed, size in enumerate([(120, 160), (160, 120), (160, 120), (96, 96)]):
        write_photo(folder / f"{seed}.png", seed, *size)
    run("extract", folder, store, *TINY, "--layer", "3", "--dtype", *stored)
    run("search", store, picture, tmp_path / "out", "--point", "80,60", "--hits", "3")
    with (tmp_path / "out" / "hits.csv").open() as file:
        hits = list(csv.DictReader(file))
    assert len({hit["image"] for hit in hits}) == len(hits) == 3
    assert hits[0]["image"] == "1.png"
    assert_allclose([float(hits[0][k]) for k in "xy"], [80, 60], atol=8)
    page = read_record(f"{tmp_path}/out/set.json")
    assert [image.name for image in page.images[:2]] == ["searched for: a.png", "1: 1.png"]
    assert len(list((tmp_path / "out" / "report" / "pictures" / "search").iterdir())) == 4
    run("search", store, picture, tmp_path / "all", "--point", "80,60", "--every-patch")
    patches = sum(
        image.grid[0] * image.grid[1]
        for image in DescriptorStore.open(str(store)).index().images.values()
    )
    with (tmp_path / "all" / "hits.csv").open() as file:
        every = [float(hit["similarity"]) for hit in csv.DictReader(file)]
    assert len(every) == min(100, patches)
    assert every == sorted(every, reverse=True)
    assert every[0] == float(hits[0]["similarity"])
    outside = run("search", store, picture, tmp_path / "x", "--point", "161,0", status=1)
    assert "the point 161.0,0.0 lies outside a.png" in outside.stderr
    with pytest.raises(ValueError, match=r"expected one image to search for; .* stands for 4"):
        describe_point(str(folder), (1, 1), DescriptorStore.open(str(store)))


def test_tss_scores_what_the_tiny_pair_was_made_for(tmp_path: Path) -> None:
    root, out = tmp_path / "TSS", tmp_path / "out"
    write_pair(root / "JODS" / "one")
    write_pair(root / "PASCAL" / "two", seed=3)
    run("evaluate", "tss", root, out, *MATCHING)
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["items"]["JODS/one"]["pck@0.05"] == pytest.approx(0.75, abs=0.03)
    assert metrics["by_category"]["PASCAL"]["pck@0.05 2 to 1"] == pytest.approx(0.75, abs=0.03)
    assert metrics["count"] == 2
    record = read_record(str(out / "JODS" / "one" / "set.json"))
    assert {"warped", "truth"} <= set(record.images[0].pictures)
    again = out / "metrics-before.json"
    (out / "metrics.json").rename(again)
    run("evaluate", "tss", root, out, *MATCHING)
    assert json.loads((out / "metrics.json").read_text())["items"] == metrics["items"]
    (root / "JODS" / "one" / "flow1.flo").write_bytes(
        (root / "PASCAL" / "two" / "flow1.flo").read_bytes()[:12]
        + np.full((64, 96, 2), 50, "<f4").tobytes()
    )
    run("evaluate", "tss", root, out, *MATCHING)
    corrected = json.loads((out / "metrics.json").read_text())
    assert corrected["items"]["JODS/one"]["pck@0.05"] == 0
    assert corrected["items"]["PASCAL/two"] == metrics["items"]["PASCAL/two"]
    assert corrected["groups"] == {"JODS/one": "JODS", "PASCAL/two": "PASCAL"}


def test_keypoints_of_a_tiny_benchmark_arrive(tmp_path: Path) -> None:
    root, out = tmp_path / "PF-WILLOW", tmp_path / "out"
    write_photo(root / "PF-dataset" / "car(S)" / "a.png", 1, 160, 120)
    line = "PF-dataset/car(S)/{}.png,PF-dataset/car(S)/{}.png,60,100,40,80,{},{},40,80\n"
    (root / "test_pairs.csv").write_text(
        "imageA,imageB,XA1,XA2,YA1,YA2,XB1,XB2,YB1,YB2\n"
        + line.format("a", "a", 60, 100)
        + line.format("a", "a", 60, 145)
    )
    run("evaluate", "pf-willow", root, out, *MATCHING)
    scores = json.loads((out / "metrics.json").read_text())["scores"]
    assert scores["pck@0.10"] == 0.75
