"""Pictures to feed tests and drills: random, smooth, and small."""

from pathlib import Path

import numpy as np
from PIL import Image


def write_photo(path: Path, seed: int, width: int = 96, height: int = 64) -> Path:
    """A smooth random picture, so that JPEG keeps it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).save(path)
    return path
