"""What a notebook shows: tables of pictures, and two images joined by their matches."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
from PIL import Image

from tasks.ops.compose import ImageArray
from tasks.ops.draw_layout import fitted, match_picture

_SIDE = 220  # pixels of a picture's longer side
_SHOWN = 24  # more rows make a notebook slow to open


@dataclass(frozen=True, slots=True, repr=False)
class Gallery:
    """A table of pictures, a row an image, that a notebook shows.

    columns: headings. pictures: for each image as many pictures as there are columns. values:
    what the pictures were drawn from, one an image. warnings: shown above.
    """

    columns: tuple[str, ...]
    names: tuple[str, ...]
    pictures: tuple[tuple[ImageArray, ...], ...]
    values: tuple[np.ndarray, ...] = ()
    warnings: tuple[str, ...] = field(default=())

    def __repr__(self) -> str:
        """Columns and count."""
        return f"<{', '.join(self.columns)} of {len(self.names)} images>"

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(column)}</th>" for column in self.columns)
        rows = [
            _row(name, self.columns, pictures)
            for name, pictures in zip(self.names[:_SHOWN], self.pictures, strict=False)
        ]
        notes = [f"<p>{escape(warning)}</p>" for warning in self.warnings]
        if len(self.names) > _SHOWN:
            notes.append(f"<p>the first {_SHOWN} of {len(self.names)} images</p>")
        return f"{''.join(notes)}<table><tr><th></th>{head}</tr>{''.join(rows)}</table>"


@dataclass(frozen=True, slots=True, repr=False)
class Matches:
    """Corresponding points of two images, that a notebook shows as one picture.

    source, target: (H, W, 3) uint8. source_xy, target_xy: (P, 2) pixels of the two images.
    similarity: (P,) cosines.
    """

    source: ImageArray
    target: ImageArray
    source_xy: np.ndarray
    target_xy: np.ndarray
    similarity: np.ndarray

    def __len__(self) -> int:
        """How many pairs."""
        return len(self.source_xy)

    def __repr__(self) -> str:
        """Count and mean similarity."""
        mean = f", mean cosine {self.similarity.mean():.3f}" if len(self) else ""
        return f"<{len(self)} matches{mean}>"

    def _repr_png_(self) -> bytes:
        return _png(match_picture(self.source, self.target, self.source_xy, self.target_xy))


def _row(name: str, columns: Sequence[str], pictures: Sequence[ImageArray]) -> str:
    cells = "".join(
        f'<td><img alt="{escape(column)} of {escape(name)}" src="data:image/png;base64,'
        f'{base64.b64encode(_png(fitted(picture, _SIDE, _SIDE))).decode()}"></td>'
        for column, picture in zip(columns, pictures, strict=True)
    )
    return f"<tr><th>{escape(name)}</th>{cells}</tr>"


def _png(picture: ImageArray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()
