"""The report: a static folder that opens from a disk or a bucket, without a server.

`OUT/report/index.html` and what it needs, made of the files that tasks left under OUT (the
contract is in `report_records`). Everything it loads lies in the folder and is named relative
to it; nothing is asked of a network. It can be made again at any time::

    report/index.html                    the overview
    report/pages/<slug>.html             one page a record, <slug>-inspector.html beside it
    report/pictures/<slug>/...           copies, named by the image's number and the layer
    report/data/<slug>/...               scripts that carry what a page need not load at once
    report/assets/...                    style and scripts
"""

from dataclasses import dataclass, replace
from importlib import resources

from storage.errors import StorageError
from storage.files import join, remove, write_bytes
from tasks.report_benchmark import read_page, with_pictures
from tasks.report_copy import copy_pictures, write_sketches
from tasks.report_data import Page, write_chunks
from tasks.report_page import KIND_LABELS, card, render_index, render_page
from tasks.report_records import (
    MISSING_FILE,
    REPORT_FOLDER,
    SET_FILE,
    RecordError,
    find_records,
    read_missing,
)

_ASSETS = ("report.css", "index.js", "set.js", "inspector.js")


@dataclass(frozen=True, slots=True)
class ReportSummary:
    """What was written. url: of index.html. problems: files that could not be used, and why."""

    url: str
    pages: int
    images: int
    problems: tuple[str, ...]

    @property
    def line(self) -> str:
        """One sentence for the terminal."""
        bad = f", {len(self.problems)} problems (named on its first page)" if self.problems else ""
        return f"report of {self.pages} pages, {self.images} images{bad}: {self.url}"


def write_report(out: str, *, title: str = "patchflow") -> ReportSummary:
    """Make the report of everything under `out`, any fsspec URL, replacing an earlier one.

    A file that cannot be read is named on the report's first page and left out.
    """
    report = join(out, REPORT_FOLDER)
    remove(report)
    for name in _ASSETS:
        content = resources.files("tasks") / "report_assets" / name
        write_bytes(join(report, "assets", name), content.read_bytes())
    pages, missing, problems = _load(out)
    cards = []
    for found in pages:
        page, lost = copy_pictures(found, report)
        problems += lost + write_sketches(page, report)
        cards.append(card(page))
        write_chunks(page, report)
        for name, html in render_page(page).items():
            write_bytes(join(report, "pages", name), html.encode())
    index = render_index(title, cards, problems, missing)
    write_bytes(join(report, "index.html"), index.encode())
    images = sum(len(page.record.images) for page in pages)
    return ReportSummary(join(report, "index.html"), len(pages), images, tuple(problems))


def _load(out: str) -> tuple[list[Page], dict[str, str], list[str]]:
    """Pages in the order of the kinds, then by where they lie; inputs that tasks could not use,
    with the reasons; and which of the files could not be read.
    """
    pages: list[Page] = []
    missing: dict[str, str] = {}
    problems = []
    for url in find_records(out):
        folder = url.rpartition("/")[0]
        place = (
            url.removeprefix(out.rstrip("/"))
            .strip("/")
            .removesuffix(SET_FILE)
            .removesuffix(".json")
            .rstrip("/")
        )
        try:
            if url.endswith(f"/{MISSING_FILE}"):
                missing |= read_missing(url)
            else:
                pages.append(Page.of(read_page(url), folder, place.strip("/")))
        except (RecordError, StorageError) as error:
            problems.append(str(error))
    pages = [_with_cases(page, pages) for page in pages]
    kinds = list(KIND_LABELS)
    return sorted(pages, key=lambda page: kinds.index(page.record.kind)), missing, problems


def _with_cases(page: Page, pages: list[Page]) -> Page:
    """A benchmark with the pictures of its cases, which lie with the sets below its folder."""
    if not page.record.cases:
        return page
    inside = f"{page.folder}/"
    others = [
        (f"{other.folder}/".removeprefix(inside), other.record)
        for other in pages
        if f"{other.folder}/".startswith(inside)
    ]
    return replace(page, record=with_pictures(page.record, others))
