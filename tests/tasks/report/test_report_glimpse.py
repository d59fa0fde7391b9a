"""Small pictures for the Prefect UI."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from storage.files import join
from storage.results import write_rgb
from tasks.report_glimpse import glimpses
from tasks.report_records import ImageRecord, SetRecord, write_record


def leave(folder: Path, colour: int, count: int, layers: tuple[str, ...]) -> None:
    """A set whose pictures are of one colour, a darker one for each further layer."""
    images = []
    for number in range(count):
        pictures = {layer: f"pictures/{number}-{layer}.png" for layer in layers}
        for darker, path in enumerate(pictures.values()):
            write_rgb(join(str(folder), path), np.full((40, 50, 3), colour - 50 * darker, np.uint8))
        images.append(ImageRecord(str(number), 50, 40, pictures))
    write_record(str(folder), SetRecord("coseg", folder.name, tuple(images)))


def decoded(uri: str) -> np.ndarray:
    head, _, data = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_the_first_sets_are_shown_by_what_they_are_about(tmp_path: Path) -> None:
    leave(tmp_path / "a", 200, 10, ("image", "overlay"))
    leave(tmp_path / "b", 200, 2, ("image",))
    leave(tmp_path / "c", 200, 1, ("image", "saliency"))
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "set.json").write_text("{")
    leave(tmp_path / "e", 200, 1, ("image", "parts"))
    (tmp_path / "e" / "pictures" / "0-parts.png").write_bytes(b"cut off")
    shown = dict(glimpses(str(tmp_path)))
    # Nothing to tell of c, and d and e cannot be read.
    assert sorted(shown) == ["coseg a", "coseg b"]
    first, second = decoded(shown["coseg a"]), decoded(shown["coseg b"])
    # Eight of ten in two rows, and cells of 150 x 120 with gaps of 6 between them.
    assert (first.shape, second.shape) == ((258, 630, 3), (132, 318, 3))
    # Each picture in the middle of its cell: the overlay, and where there is none, the image.
    assert abs(int(first[66, 81, 0]) - 150) <= 2
    assert abs(int(second[66, 81, 0]) - 200) <= 2
