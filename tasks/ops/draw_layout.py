"""Pictures beside one another: contact sheets, filmstrips, legends, matches, and curves."""

from collections.abc import Sequence
from functools import cache
from html import escape

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from tasks.ops.compose import ImageArray
from tasks.ops.draw import palette

_PAPER, _INK = (255, 255, 255), (40, 40, 40)
_TOLD = 12  # lines of a curve that have names


def fitted(image: ImageArray, width: int, height: int) -> ImageArray:
    """The image scaled to fit into width x height pixels, its ratio kept."""
    scale = min(width / image.shape[1], height / image.shape[0])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=way), np.uint8)


def contact_sheet(
    pictures: Sequence[ImageArray],
    *,
    columns: int = 4,
    cell: tuple[int, int] = (200, 160),
    captions: Sequence[str] | None = None,
) -> ImageArray:
    """Pictures in rows, each fitted into a cell of (width, height) pixels, captions below.

    Raises:
        ValueError: no picture, or another number of captions than pictures.
    """
    if not pictures:
        raise ValueError("expected at least one picture for a contact sheet, got none")
    if captions is not None and len(captions) != len(pictures):
        raise ValueError(
            f"expected one caption a picture, got {len(captions)} for {len(pictures)} pictures"
        )
    gap, line = 6, 0 if captions is None else 18
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    step_x, step_y = cell[0] + gap, cell[1] + line + gap
    sheet = Image.new("RGB", (columns * step_x + gap, rows * step_y + gap), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, picture in enumerate(pictures):
        left, top = gap + number % columns * step_x, gap + number // columns * step_y
        small = fitted(picture, *cell)
        inset = (cell[0] - small.shape[1]) // 2, (cell[1] - small.shape[0]) // 2
        sheet.paste(Image.fromarray(small), (left + inset[0], top + inset[1]))
        if captions is not None:
            caption = _shortened(captions[number], cell[0])
            pen.text((left + cell[0] / 2, top + cell[1] + 2), caption, _INK, _font(13), anchor="ma")
    return np.asarray(sheet, np.uint8)


def filmstrip(frames: Sequence[ImageArray], *, height: int = 120, count: int = 8) -> ImageArray:
    """At most `count` frames, evenly chosen with the first and the last, in one row."""
    if not frames:
        raise ValueError("expected at least one frame for a filmstrip, got none")
    chosen = np.unique(np.rint(np.linspace(0, len(frames) - 1, min(count, len(frames)))))
    small = [fitted(frames[int(i)], 10**6, height) for i in chosen]
    gap = np.full((height, 3, 3), 255, np.uint8)
    strip = [piece for frame in small for piece in (frame[:height], gap)]
    return np.concatenate(strip[:-1], axis=1)


def with_legend(
    picture: ImageArray, colours: npt.NDArray[np.uint8], names: Sequence[str]
) -> ImageArray:
    """The picture above a line of coloured squares with their names."""
    size, pad = 16, 8
    font = _font(14)
    widths = [size + 4 + round(font.getlength(name)) + 14 for name in names]
    lines: list[list[int]] = [[]]
    room = picture.shape[1] - 2 * pad
    for number, width in enumerate(widths):
        if lines[-1] and sum(widths[i] for i in lines[-1]) + width > room:
            lines.append([])
        lines[-1].append(number)
    height = len(lines) * (size + 6) + 2 * pad
    sheet = Image.new("RGB", (picture.shape[1], picture.shape[0] + height), _PAPER)
    sheet.paste(Image.fromarray(picture))
    pen = ImageDraw.Draw(sheet)
    top = picture.shape[0] + pad
    for line in lines:
        left = pad
        for number in line:
            tone = tuple(int(c) for c in colours[number])
            pen.rectangle((left, top, left + size, top + size), fill=tone)
            pen.text((left + size + 4, top + size / 2), names[number], _INK, font, anchor="lm")
            left += widths[number]
        top += size + 6
    return np.asarray(sheet, np.uint8)


def match_picture(
    source: ImageArray,
    target: ImageArray,
    source_xy: npt.NDArray[np.floating],
    target_xy: npt.NDArray[np.floating],
    *,
    height: int = 400,
) -> ImageArray:
    """Two images side by side, matched points with the same number and colour, joined by lines.

    Args:
        source, target: (H, W, 3) uint8, of any sizes.
        source_xy, target_xy: (P, 2) pixels of the original images.
        height: of the picture; images of more than three times that width are less high.

    Raises:
        ValueError: different numbers of points.
    """
    if len(source_xy) != len(target_xy):
        raise ValueError(
            f"expected as many points in both images, got {len(source_xy)} and {len(target_xy)}"
        )
    pair = [fitted(image, 3 * height, height) for image in (source, target)]
    shift = pair[0].shape[1] + 10
    sheet = Image.new("RGB", (shift + pair[1].shape[1], height), _PAPER)
    sheet.paste(Image.fromarray(pair[0]))
    sheet.paste(Image.fromarray(pair[1]), (shift, 0))
    pen = ImageDraw.Draw(sheet)
    scales = [
        np.divide(small.shape[1::-1], image.shape[1::-1])
        for small, image in zip(pair, (source, target), strict=True)
    ]
    here = np.asarray(source_xy, float) * scales[0]
    there = np.asarray(target_xy, float) * scales[1] + (shift, 0)
    tones = [(int(r), int(g), int(b)) for r, g, b in palette(len(source_xy))]
    for start, end, tone in zip(here, there, tones, strict=True):
        pen.line((*start, *end), fill=tone, width=1)
    for number, points in enumerate(zip(here, there, strict=True)):
        for x, y in points:
            _number(pen, float(x), float(y), number + 1, tones[number])
    return np.asarray(sheet, np.uint8)


def curve_svg(
    values: Sequence[Sequence[float]],
    names: Sequence[str],
    *,
    width: int = 640,
    height: int = 160,
    low: float = 0.0,
    high: float = 1.0,
) -> str:
    """Lines over equally spaced steps, as an SVG element that takes its text colour from the page.

    Args:
        values: one sequence a line; NaN breaks the line.
        names: what each line shows; a dozen of them are spelt out, four in a row.
        low, high: the vertical range.
    """
    if len(values) != len(names):
        raise ValueError(f"expected one name a line, got {len(names)} for {len(values)} lines")
    told = [*names] if len(names) <= _TOLD else [*names[: _TOLD - 1], "others"]
    extra = 16 * ((len(told) - 1) // 4)  # what more rows of names take
    height += extra
    left, right, top, bottom = 50, width - 8, 22 + extra, height - 8
    span = max(high - low, 1e-9)
    parts = [
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(", ".join(names))}" '
        f'xmlns="http://www.w3.org/2000/svg" font-size="11" fill="currentColor">'
    ]
    for share in (0.0, 0.5, 1.0):
        y = bottom - share * (bottom - top)
        parts.append(
            f'<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" '
            f'stroke-opacity=".2"/><text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">'
            f"{low + share * span:.3g}</text>"
        )
    for number, line in enumerate(values):
        tone = "#{:02x}{:02x}{:02x}".format(*palette(number + 1)[number])
        step = (right - left) / max(len(line) - 1, 1)
        points = [
            (left + i * step, bottom - (v - low) / span * (bottom - top))
            for i, v in enumerate(line)
        ]
        parts.append(f'<path d="{_path(points)}" fill="none" stroke="{tone}" stroke-width="2"/>')
        if number < len(told):
            x, y = left + number % 4 * 145, 4 + 16 * (number // 4)
            parts.append(
                f'<rect x="{x}" y="{y}" width="10" height="10" fill="{tone}"/>'
                f'<text x="{x + 14}" y="{y + 9}">{escape(told[number])}</text>'
            )
    return "".join([*parts, "</svg>"])


def _number(
    pen: ImageDraw.ImageDraw, x: float, y: float, number: int, tone: tuple[int, int, int]
) -> None:
    """A numbered disc at a point."""
    radius = 8
    box = (x - radius, y - radius, x + radius, y + radius)
    pen.ellipse(box, fill=tone, outline=_PAPER)
    pen.text((x, y), str(number), (0, 0, 0), _font(11), anchor="mm")


def _shortened(text: str, width: int) -> str:
    """The text, its middle left out where it is wider than `width` pixels."""
    font, kept = _font(13), text
    while font.getlength(kept) > width and len(kept) > 3:
        half = (len(kept) - 2) // 2
        kept = f"{kept[:half]}\u2026{kept[-half:]}"
    return kept


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("expected Pillow with FreeType, which draws text; install Pillow's wheel")
    return font


def _path(points: Sequence[tuple[float, float]]) -> str:
    """SVG path through the points, lifted where a value is missing; a single point is a dash."""
    known = [np.isfinite(y) for _, y in points]
    commands = []
    for number, (x, y) in enumerate(points):
        if known[number]:
            joined = number > 0 and known[number - 1]
            commands.append(f"{'L' if joined else 'M'}{x:.1f},{y:.1f}")
            alone = not joined and not (number + 1 < len(points) and known[number + 1])
            commands += ["h0.1"] if alone else []
    return "".join(commands)
