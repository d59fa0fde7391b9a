"""A pair of TSS's official layout, small enough to know its flow by heart."""

from pathlib import Path

import numpy as np
from PIL import Image
from random_photos import write_photo

from tasks.ops.flow import encode_flow


def write_pair(folder: Path, *, width: int = 96, height: int = 64, seed: int = 0) -> None:
    """One picture twice. Foreground: all but the upper half; flow: none, but on a quarter of it
    (the left half of the third quarter of rows) far too large for an image paired with itself.
    """
    for side in (1, 2):
        write_photo(folder / f"image{side}.png", seed, width, height)
        mask = np.zeros((height, width), np.uint8)
        mask[height // 2 :] = 255
        Image.fromarray(mask).save(folder / f"mask{side}.png")
        flow = np.zeros((height, width, 2), np.float32)
        flow[height // 2 : 3 * height // 4, : width // 2] = 30
        (folder / f"flow{side}.flo").write_bytes(encode_flow(flow))
