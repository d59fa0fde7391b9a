"""A page of a report in a browser, for tests: it remembers whatever went wrong."""

from pathlib import Path
from typing import Any


class Tab:
    """One tab. page: of playwright. root: the report's folder."""

    def __init__(self, page: Any, root: Path) -> None:
        self.page = page
        self.root = root.as_uri()
        self.wrong: list[str] = []
        page.on("console", lambda m: self.wrong.append(f"{m.type}: {m.text}"))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("requestfailed", lambda request: self.wrong.append(f"failed: {request.url}"))
        page.on("request", self._watch)

    def _watch(self, request: Any) -> None:
        if not request.url.startswith((self.root, "data:")):
            self.wrong.append(f"left the folder: {request.url}")

    def open(self, name: str) -> Any:
        self.page.goto(f"{self.root}/{name}")
        return self.page

    def until(self, expression: str) -> None:
        """Wait until a script's expression holds; the page's policy forbids playwright's own."""
        for _ in range(200):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(25)
        raise AssertionError(f"never came true: {expression}")

    def count(self, selector: str) -> int:
        return int(self.page.locator(f"{selector}:visible").count())

    def scroll_through(self) -> None:
        """Down to the end, so that what loads lazily is loaded."""
        self.page.evaluate(
            """async () => {
                for (let y = 0; y < document.body.scrollHeight; y += 400) {
                    scrollTo(0, y);
                    await new Promise((done) => setTimeout(done, 20));
                }
            }"""
        )

    def decoded_pictures(self) -> int:
        """How many pictures the page shows; one that does not decode is an error."""
        self.scroll_through()
        return int(
            self.page.evaluate(
                """async () => {
                    const pictures = [...document.images].filter((i) => i.getAttribute("src"));
                    await Promise.all(pictures.map((i) => i.decode()));
                    const bad = pictures.filter((i) => !i.naturalWidth).map((i) => i.src);
                    if (bad.length) throw new Error(bad.join());
                    return pictures.length;
                }"""
            )
        )

    def cut_off_on_a_phone(self) -> list[str]:
        """HTML of what a screen of 390 pixels cuts off."""
        self.page.set_viewport_size({"width": 390, "height": 844})
        self.page.wait_for_timeout(100)
        return list(
            self.page.evaluate(
                """() => {
                    const all = [...document.querySelectorAll("main *:not(.scroll *, pre, svg *)")]
                        .filter((e) => e.getClientRects().length)
                        .filter((e) => getComputedStyle(e).position !== "absolute")
                        .filter((e) => e.getBoundingClientRect().right > 391)
                        .map((e) => e.outerHTML);
                    return document.documentElement.scrollWidth > 390 ? ["the page", ...all] : all;
                }"""
            )
        )
