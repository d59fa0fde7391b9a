"""The report in a real browser: it opens from a disk, shows everything and can be used."""

import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import numpy as np
import pytest
from browser_tab import Tab

from storage.results import write_rgb
from tasks.ops.patch_grid import unit
from tasks.ops.sketch import sketch, sketch_cosine
from tasks.report import write_report
from tasks.report_records import ImageRecord, SetRecord, write_record

from .conftest import CHANNELS, NAMES, Results

pytestmark = pytest.mark.browser


@pytest.fixture
def tab(browser: Any, results: Results) -> Iterator[Tab]:
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    made = Tab(context.new_page(), results.out / "report")
    yield made
    context.close()
    assert made.wrong == []


READY = "document.getElementById('status').textContent === ''"
PAGES = ("index", "pages/dogs-coseg", "pages/dogs-coseg-inspector", "pages/clip-video")


def all_pages(results: Results) -> list[str]:
    report = results.out / "report"
    return [str(path.relative_to(report)) for path in sorted(report.rglob("*.html"))]


def test_every_picture_of_every_page_decodes(tab: Tab, results: Results) -> None:
    seen = 0
    for name in all_pages(results):
        tab.open(name)
        seen += tab.decoded_pictures()
    assert seen >= 5 * 5 + 5 + 6 * 2


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_cuts_nothing_off(tab: Tab, name: str) -> None:
    tab.open(f"{name}.html")
    assert tab.cut_off_on_a_phone() == []
    rows = "[...document.querySelectorAll('tr')].map((row) => row.offsetHeight)"
    assert max([0, *tab.page.evaluate(rows)]) < 150


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(browser: Any, results: Results, scheme: str) -> None:
    package = pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python")
    axe = (resources.files(package) / "axe.min.js").read_text()
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1200, "height": 900})
    page = context.new_page()
    for name in all_pages(results):
        page.goto((results.out / "report" / name).as_uri())
        page.evaluate(axe)
        found = page.evaluate("axe.run().then((r) => r.violations)")
        serious = [
            (fault["id"], [node["html"] for node in fault["nodes"]][:3])
            for fault in found
            if fault["impact"] in ("serious", "critical")
        ]
        assert serious == [], name
    context.close()


def test_overview_filters_by_name_and_kind(tab: Tab) -> None:
    page = tab.open("index.html")
    assert tab.count("#cards > li") == 4
    page.keyboard.press("/")
    page.keyboard.type("DOG")
    assert tab.count("#cards > li") == 1
    page.locator("#find").fill("")
    page.get_by_text("video", exact=True).click()
    assert tab.count("#cards > li") == 1
    assert page.locator("#count").inner_text() == "1 of 4"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/clip-video.html")


def test_set_page_filters_orders_and_hides_layers(tab: Tab) -> None:
    page = tab.open("pages/dogs-coseg.html")
    names = page.locator(".item h3")
    assert names.first.text_content().startswith(NAMES[0])
    page.locator("#order").select_option("worst")
    scores = [re.findall(r"Jaccard (\d\.\d{3})", text) for text in names.all_text_contents()]
    assert scores == [["0.300"], ["0.500"], ["0.700"], ["0.900"], []]
    page.get_by_text("with warnings").click()
    assert page.locator("#count").inner_text() == "1 of 5"
    assert page.locator(".item .note").text_content() == "too dark"
    page.get_by_text("with warnings").click()
    assert tab.count(".item figure") == 25
    page.locator("#shown").get_by_text("clusters").click()
    assert tab.count(".item figure") == 20
    page.locator("#find").fill("onerror")
    assert page.locator("#count").inner_text() == "1 of 5"


def test_enlarged_view_by_keyboard(tab: Tab) -> None:
    page = tab.open("pages/dogs-coseg.html")
    page.locator(".item button").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#large").get_attribute("open") is not None
    assert page.locator("#large-name").inner_text() == NAMES[0]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("5")
    assert page.locator("#large-name").inner_text() == NAMES[1]
    assert page.locator("#large-top").get_attribute("src").endswith("00001-overlay.jpg")
    page.locator("#large-opacity").fill("30")
    assert page.locator("#large-top").evaluate("e => e.style.opacity") == "0.3"
    page.keyboard.press("Escape")
    assert page.locator("#large").get_attribute("open") is None


def test_enlarged_view_shows_the_finest_picture_in_its_own_shape(
    browser: Any, tmp_path: Path
) -> None:
    for name, size in (("small", (30, 40)), ("large", (60, 80)), ("sheet", (20, 60))):
        write_rgb(str(tmp_path / f"s/{name}.png"), np.zeros((*size, 3), np.uint8))
    layers = {"image": "small.png", "heads": "sheet.png"}
    image = ImageRecord("a", 40, 30, layers, {"image": "large.png"})
    write_record(str(tmp_path / "s"), SetRecord("coseg", "s", (image,)))
    write_report(str(tmp_path))
    context = browser.new_context()
    tab = Tab(context.new_page(), tmp_path / "report")
    page = tab.open("pages/s-coseg.html")
    page.locator(".item button").first.click()
    tab.until("document.getElementById('large-base').naturalWidth === 80")
    page.keyboard.press("2")
    tab.until("document.getElementById('large-base').hidden")
    box = page.locator("#large-top").bounding_box()
    assert abs(box["width"] / box["height"] - 3) < 0.01
    assert tab.wrong == []
    context.close()


def test_video_scrubber_shows_the_frame(tab: Tab) -> None:
    page = tab.open("pages/clip-video.html")
    page.locator("#player input[aria-label=Frame]").fill("4")
    assert page.locator("#player .stack img").first.get_attribute("src").endswith("00004-image.jpg")
    assert "5 of 6" in page.locator("#player").inner_text()
    page.locator("#player").get_by_text("Play").click()
    tab.until("document.querySelector('#player input').value !== '4'")
    page.locator("#player").get_by_text("Pause").click()


def test_matches_are_drawn_where_they_are(tab: Tab, results: Results) -> None:
    name = next(n for n in all_pages(results) if "pair" in n)
    page = tab.open(name)
    page.wait_for_timeout(100)
    assert page.locator("#match-table tbody tr").count() == 2
    middle = page.evaluate(
        """() => {
            const circles = [...document.querySelectorAll("#matches g:first-child circle")];
            const boxes = [...document.querySelectorAll("#matches img")];
            return circles.map((circle, side) => {
                const c = circle.getBoundingClientRect(), b = boxes[side].getBoundingClientRect();
                return [(c.x + c.width / 2 - b.x) / b.width, (c.y + c.height / 2 - b.y) / b.height];
            });
        }"""
    )
    # (60, 40) of 120 x 80 and (45, 50) of 90 x 100 are both the middle.
    assert np.allclose(middle, 0.5, atol=0.02)


def hover(page: Any, number: int, row: int, col: int, results: Results) -> None:
    grid = results.grids[number]
    box = page.locator(".probe").nth(number).bounding_box()
    x, y = grid.to_xy(np.array([row, col])) / grid.image
    page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])


def expected_best(results: Results, source: tuple[int, int, int], target: int) -> tuple[int, int]:
    """The patch that the ops find, from the same sketches."""
    number, row, col = source
    basis = results.look.sketches["main"]
    asked = sketch(results.descriptors[number][row, col][None], basis)
    others = sketch(results.descriptors[target].reshape(-1, CHANNELS), basis)
    best = int(sketch_cosine(asked, others, basis).argmax())
    return divmod(best, results.grids[target].cols)


def test_inspector_finds_the_patch_that_the_ops_find(tab: Tab, results: Results) -> None:
    page = tab.open("pages/dogs-coseg-inspector.html")
    tab.until(READY)
    for source in ((0, 3, 5), (1, 0, 0), (2, 9, 20)):
        hover(page, *source, results)
        page.wait_for_timeout(50)
        query = page.locator(".probe").nth(source[0])
        assert query.get_attribute("data-best") is not None
        text = page.locator(".inspect li").nth(source[0]).inner_text()
        assert text.endswith(f"patch {source[1]}, {source[2]}")
        for target in range(len(NAMES)):
            if target == source[0]:
                continue
            found = page.locator(".probe").nth(target).get_attribute("data-best")
            row, col = expected_best(results, source, target)
            assert found == f"{row},{col}"
            # Sketches keep what there is here (8 dimensions), so full descriptors agree as well.
            full = unit(results.descriptors[source[0]][source[1:]][None])
            exact = full @ unit(results.descriptors[target].reshape(-1, CHANNELS)).T
            assert exact[0, row * results.grids[target].cols + col] > exact.max() - 0.05


def test_inspector_answers_within_a_tenth_of_a_second(tab: Tab, results: Results) -> None:
    page = tab.open("pages/dogs-coseg-inspector.html")
    tab.until(READY)
    milliseconds = page.evaluate(
        """() => {
            const home = document.querySelector(".probe"), box = home.getBoundingClientRect();
            const times = [];
            for (let i = 1; i < 20; i++) {
                const start = performance.now();
                home.dispatchEvent(new PointerEvent("pointermove", {
                    clientX: box.x + (box.width * i) / 20, clientY: box.y + box.height / 2,
                    bubbles: true,
                }));
                times.push(performance.now() - start);
            }
            return times.sort((a, b) => a - b)[9];
        }"""
    )
    assert milliseconds < 100


def test_inspector_by_keyboard_and_switch_of_descriptors(tab: Tab) -> None:
    page = tab.open("pages/dogs-coseg-inspector.html")
    tab.until(READY)
    page.locator("#sources input").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#sources label", has=page.locator(":checked")).inner_text().strip() == (
        "layer 9 token, log-binned"
    )
    assert "8 numbers of 8 bits" in page.locator("#accuracy").inner_text()
    tab.until(READY)
    page.locator("#opacity").focus()
    page.keyboard.press("Tab")  # to the first image
    page.keyboard.press("ArrowDown")
    first = page.locator(".inspect li").first
    row, col = map(int, re.findall(r"patch (\d+), (\d+)", first.inner_text())[0])
    page.keyboard.press("ArrowLeft")
    assert first.inner_text().endswith(f"patch {row}, {col - 1}")
    page.keyboard.press("Enter")
    assert page.locator("#status").inner_text() == "patch kept"
    page.keyboard.press("Escape")
    assert page.locator(".mark:visible").count() == 0


def file_size(url: str) -> int:
    return Path(unquote(urlparse(url).path)).stat().st_size if url.startswith("file:") else 0


def test_two_thousand_images_open_at_once(browser: Any, tmp_path: Path) -> None:
    """The page is there within two seconds and has loaded less than 3 MB by then."""
    out = tmp_path / "out"
    rng = np.random.default_rng(0)
    for n in range(8):
        picture = rng.integers(0, 255, (120, 160, 3), np.uint8)
        write_rgb(str(out / "many" / f"{n}.jpg"), picture)
    layers = ("image", "overlay")
    images = tuple(
        ImageRecord(f"{n:05d}.jpg", 160, 120, dict.fromkeys(layers, f"{n % 8}.jpg"), jaccard=0.5)
        for n in range(2000)
    )
    write_record(str(out / "many"), SetRecord("coseg", "many", images))
    write_report(str(out))
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    tab = Tab(context.new_page(), out / "report")
    loaded: list[int] = []
    tab.page.on("request", lambda r: loaded.append(file_size(r.url)))
    page = tab.open("pages/many-coseg.html")
    tab.until("document.getElementById('count').textContent === '2000 of 2000'")
    milliseconds = page.evaluate(
        "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
    )
    assert milliseconds < 2000
    assert sum(loaded) < 3_000_000
    assert page.locator(".item").count() < 200
    page.locator("#find").fill("01999")
    assert page.locator("#count").inner_text() == "1 of 2000"
    assert tab.wrong == []
    context.close()
