"""What lies in the report's folder: complete, safe in its names, honest about what is missing."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from storage.files import read_bytes
from storage.results import write_json, write_rgb
from tasks.ops.patch_grid import plan_grid, unit
from tasks.ops.sketch import sketch_cosine
from tasks.report import write_report
from tasks.report_data import Page, layer_file
from tasks.report_pictures import ImageView, SetLook, draw_image, grid_record, write_image
from tasks.report_records import (
    ImageRecord,
    SetRecord,
    read_record,
    write_missing,
    write_record,
)

from .conftest import CHANNELS, NAMES, Results


def page_of(results: Results, name: str) -> str:
    return (results.out / "report" / "pages" / name).read_text()


def test_every_record_has_a_page_and_every_picture_is_there(results: Results) -> None:
    report = results.out / "report"
    pages = sorted(path.name for path in (report / "pages").iterdir())
    assert [re.sub("-[0-9a-f]{8}", "-#", name) for name in pages] == [
        "bench-metrics-#-benchmark.html",
        "clip-video.html",
        "dogs-coseg-inspector.html",
        "dogs-coseg.html",
        "pairs-left-right-#-pair.html",
    ]
    assert len(list((report / "pictures" / "dogs-coseg").iterdir())) == 5 * len(NAMES)
    for path in (report / "pictures").rglob("*.*"):
        with Image.open(path) as picture:
            picture.load()


def test_names_are_escaped_everywhere(results: Results) -> None:
    for path in (results.out / "report").rglob("*.html"):
        assert "<img src=x" not in path.read_text()
        assert "All <results>" not in path.read_text()
    assert "All &lt;results&gt;" in (results.out / "report" / "index.html").read_text()
    data = re.search(r'id="page">(.*?)</script>', page_of(results, "dogs-coseg.html"), re.DOTALL)
    assert data is not None
    assert [image["name"] for image in json.loads(data[1])["images"]] == list(NAMES)


def test_nothing_refers_outside_of_the_folder(results: Results) -> None:
    report = results.out / "report"
    for path in report.rglob("*.html"):
        for link in re.findall(r'(?:src|href)="([^"]+)"', path.read_text()):
            if link.startswith(("#", "data:")):
                continue
            target = (path.parent / link).resolve()
            assert target.is_relative_to(report.resolve())
            assert target.exists(), link
    for path in (report / "assets").iterdir():
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", path.read_text())


def test_sketches_travel_unchanged_and_keep_the_cosines(results: Results) -> None:
    """The bytes in the scripts are the ops' own, and their cosines those of the descriptors."""
    levels = []
    basis = results.look.sketches["main"]
    for number in (0, 2):
        script = results.out / "report" / "data" / "dogs-coseg" / "main" / f"{number:05d}.js"
        source, position, text = json.loads(
            script.read_text().removeprefix("patchflow.add(...").removesuffix(");\n")
        )
        assert (source, position) == ("main", number)
        import base64

        flat = np.frombuffer(base64.b64decode(text), np.int8)
        levels.append(flat.reshape(-1, len(basis.scales)))
    first, second = (results.descriptors[n].reshape(-1, CHANNELS) for n in (0, 2))
    exact = unit(first) @ unit(second).T
    assert_allclose(sketch_cosine(levels[0], levels[1], basis), exact, atol=0.04)


def test_grid_record_is_the_area_of_the_cells() -> None:
    # 98 x 70 pixels, not resized: 13 x 9 patches of 14, 7 apart; centres 7 to 91 and 7 to 63.
    grid = plan_grid(98, 70, patch=14, stride=(7, 7), size=70)
    record = grid_record(grid)
    assert (record.rows, record.cols) == (9, 13)
    assert_allclose(
        [record.left, record.top, record.width, record.height],
        [3.5 / 98, 3.5 / 70, 91 / 98, 63 / 70],
    )


def test_pictures_are_small_and_layers_lie_over_the_image() -> None:
    grid = plan_grid(1200, 900, patch=14, stride=(14, 14), size=84)
    labels = np.zeros(grid.shape, int)
    labels[:, grid.cols // 2 :] = 1
    mask = np.zeros((900, 1200), bool)
    mask[:, 600:] = True
    colours = np.array([[10, 0, 0], [0, 0, 10]], np.uint8)
    view = ImageView("x", np.zeros((900, 1200, 3), np.uint8), grid, clusters=labels, mask=mask)
    drawn = draw_image(view, SetLook(colours=colours))
    assert {picture.shape for picture in drawn.values()} == {(300, 400, 3)}
    assert list(drawn) == ["image", "clusters", "overlay"]
    assert_array_equal(drawn["clusters"][150, 195], colours[0])
    assert_array_equal(drawn["clusters"][150, 205], colours[1])
    assert drawn["overlay"][150, 300, 1] > 0
    assert drawn["overlay"][150, 100, 1] == 0


def test_pictures_of_large_images_come_in_two_sizes(tmp_path: Path) -> None:
    grid = plan_grid(1200, 900, patch=14, stride=(14, 14), size=84)
    mask = np.zeros((900, 1200), bool)
    view = ImageView("x", np.zeros((900, 1200, 3), np.uint8), grid, np.zeros(grid.shape), mask=mask)
    record = write_image(str(tmp_path / "s"), 0, view, SetLook())
    write_record(str(tmp_path / "s"), SetRecord("coseg", "s", (record,)))
    assert write_report(str(tmp_path)).problems == ()
    sizes = {}
    for path in (tmp_path / "report" / "pictures" / "s-coseg").iterdir():
        with Image.open(path) as picture:
            sizes[path.name] = picture.size
    assert sizes == {
        "00000-image.jpg": (400, 300), "00000-image-large.jpg": (1000, 750),
        "00000-saliency.jpg": (400, 300),
        "00000-overlay.jpg": (400, 300), "00000-overlay-large.jpg": (1000, 750),
    }  # fmt: skip


def test_the_overview_counts_images_once(tmp_path: Path) -> None:
    images = (ImageRecord("a", 4, 4), ImageRecord("b", 4, 4))
    write_record(str(tmp_path / "p"), SetRecord("coseg", "p", images))
    write_record(str(tmp_path / "q"), SetRecord("discover", "q", images, numbers={"images": 90}))
    write_report(str(tmp_path))
    index = (tmp_path / "report" / "index.html").read_text()
    assert re.findall(r"<small>(.*?)</small>", index) == [
        "co-segmentation · 2 images",
        "object discovery · images 90",
    ]


def test_the_overview_lists_some_of_many_missing_inputs(tmp_path: Path) -> None:
    write_missing(str(tmp_path), [(f"{n}.jpg", "empty") for n in range(1234)])
    write_report(str(tmp_path))
    index = (tmp_path / "report" / "index.html").read_text()
    assert "1,234 inputs could not be used" in index
    assert index.count("</b>: empty") == 200
    assert "and 1,034 more" in index


def test_counts_are_shown_without_decimals(tmp_path: Path) -> None:
    numbers = {"buddies": 1324.0, "objects": 1, "pck": 1.0, "mean": 0.25, "gone": None}
    write_record(str(tmp_path / "p"), SetRecord("pair", "p", numbers=numbers))
    write_report(str(tmp_path))
    page = (tmp_path / "report" / "pages" / "p-pair.html").read_text()
    assert re.findall(r"<b>(.*?)</b><span>(.*?)</span>", page) == [
        ("1,324", "buddies"), ("1", "objects"), ("1.000", "pck"), ("0.250", "mean"),
    ]  # fmt: skip


def test_a_missing_picture_is_named_and_left_out(results: Results, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(results.out, out)
    (out / "dogs" / "pictures" / "00001-pca.jpg").unlink()
    (out / "dogs" / "sketches" / "main-bins" / "00000.bin").write_bytes(b"short")
    (out / "broken" / "x").mkdir(parents=True)
    write_json(str(out / "broken" / "set.json"), {"kind": "pair"})
    summary = write_report(str(out))
    assert summary.pages == 4
    assert len(summary.problems) == 3
    assert "set.json: name: field required" in summary.problems[0]
    assert "00001-pca.jpg" in summary.problems[1]
    assert re.search(r"00000\.bin: expected \d+ bytes, found 5", summary.problems[2])
    assert "3 problems" in summary.line
    index = (out / "report" / "index.html").read_text()
    assert "00001-pca.jpg" in index
    page = (out / "report" / "pages" / "dogs-coseg.html").read_text()
    assert "00001-pca.jpg" not in page
    assert "00002-pca.jpg" in page


def test_paths_cannot_leave_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    image = ImageRecord("x", 4, 4, {"image": "../../secret.jpg"})
    write_record(str(tmp_path / "out" / "set"), SetRecord("coseg", "s", (image,)))
    summary = write_report(str(tmp_path / "out"))
    assert "would leave" in summary.problems[0]
    assert not list((tmp_path / "out" / "report").rglob("*.jpg"))


def test_a_second_report_replaces_the_first(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    for name in ("one", "two"):
        write_record(f"{out}/{name}", SetRecord("coseg", name))
    assert write_report(out).pages == 2
    shutil.rmtree(tmp_path / "out" / "one")
    assert write_report(out).pages == 1
    assert not (tmp_path / "out" / "report" / "pages" / "one-coseg.html").exists()


def test_an_empty_folder_gives_a_page_that_says_so(tmp_path: Path) -> None:
    summary = write_report(str(tmp_path))
    assert (summary.pages, summary.images, summary.problems) == (0, 0, ())
    assert "Nothing to show yet" in (tmp_path / "report" / "index.html").read_text()


def test_any_url_will_do() -> None:
    out = "memory://report-test/out"
    write_rgb(f"{out}/s/p/a.png", np.zeros((4, 4, 3), np.uint8))
    image = ImageRecord("a.png", 4, 4, {"image": "p/a.png"})
    write_record(f"{out}/s", SetRecord("coseg", "s", (image,)))
    summary = write_report(out)
    assert summary.url == f"{out}/report/index.html"
    assert read_bytes(f"{out}/report/pictures/s-coseg/00000-image.png")[1:4] == b"PNG"
    assert read_record(f"{out}/s/set.json").images == (image,)


@pytest.mark.parametrize(
    ("layer", "path", "name"),
    [
        ("image", "pictures/a b.JPG", "00007-image.jpg"),
        ("PCA (1)", "x.png", "00007-pca-1.png"),
        ("../..", "x.html#y", "00007-layer"),
    ],
)
def test_layer_files_are_plain_names(layer: str, path: str, name: str) -> None:
    assert layer_file(7, layer, path) == name


def test_slugs_differ_where_places_differ() -> None:
    places = ["a/b", "a-b", "a_b", "A-b", "a b", "", "ü", "ö", "x" * 90, "x" * 91]
    slugs = [Page.of(SetRecord("coseg", "n"), "f", place).slug for place in places]
    assert len(set(slugs)) == len(places)
    assert slugs[1] == "a-b-coseg"
    assert all(re.fullmatch(r"[a-z0-9-]{1,110}", slug) for slug in slugs)
