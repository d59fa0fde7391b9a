"""The demo's report in a browser; its masks are a random network's, all else is as `make demo`.

PATCHFLOW_REPORT=demo-out/report looks at the one that `make demo` left instead.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_tab import Tab

from flows.demo import demo
from storage.descriptors import DescriptorStore
from tasks.config import CosegmentConfig
from tasks.ops.patch_grid import unit
from tasks.stored import stored_grid

pytestmark = pytest.mark.browser

TINY = CosegmentConfig(
    model="test_vit",
    weights="random",
    layer=3,
    also=(),
    stride=8,
    size=96,
    precision="float32",
    refinement="none",
)


@pytest.fixture(scope="module")
def report(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made before the browser starts, see there."""
    given = os.environ.get("PATCHFLOW_REPORT")
    if given:
        return Path(given).resolve()
    out = tmp_path_factory.mktemp("demo") / "out"
    demo(str(out), TINY, tour=False)
    return out / "report"


@pytest.fixture
def tab(report: Path, browser: Any) -> Iterator[Tab]:
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    made = Tab(context.new_page(), report)
    yield made
    context.close()
    assert made.wrong == []


def test_every_page_opens_from_a_disk_alone_and_fits_a_phone(tab: Tab, report: Path) -> None:
    pages = [str(path.relative_to(report)) for path in sorted(report.rglob("*.html"))]
    assert len(pages) >= 9
    for name in pages:
        tab.page.set_viewport_size({"width": 1200, "height": 900})
        tab.open(name)
        assert tab.decoded_pictures() >= 3
        assert tab.cut_off_on_a_phone() == []


def test_the_inspector_points_at_the_patch_that_the_store_holds(tab: Tab, report: Path) -> None:
    page = tab.open("pages/coffee-coseg-inspector.html")
    tab.until("document.getElementById('status').textContent === ''")
    store = DescriptorStore.open(str(report.parent / "store"))
    names = page.locator(".inspect small span:first-child").all_inner_texts()
    maps = [unit(store.read(name, "descriptors").astype(np.float32)) for name in names]
    row, col = (size // 2 for size in maps[0].shape[:2])
    grid = stored_grid(store.info.config, store.find(names[0]))
    x, y = grid.to_xy(np.array([row, col])) / grid.image
    box = page.locator(".probe").first.bounding_box()
    page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
    tab.until("document.querySelectorAll('.probe[data-best]').length >= 3")
    assert page.locator(".inspect li").first.inner_text().endswith(f"patch {row}, {col}")
    lost = re.search(r"less than (\S+) in 95 %", page.locator("#accuracy").inner_text())
    assert lost is not None
    for number, best in enumerate(page.locator(".probe[data-best]").all()):
        if number:
            r, c = map(int, str(best.get_attribute("data-best")).split(","))
            cosines = maps[number] @ maps[0][row, col]
            assert cosines[r, c] > cosines.max() - 4 * float(lost[1])
