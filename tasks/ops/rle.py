"""COCO's run-length encoding of masks, so that other programs read ours.

Pixels are taken column by column; runs of 0 and 1 alternate, the first is of 0. In the
compressed form each run from the fourth on is written as its difference to the run two before,
in groups of 5 bits, lowest first, with a bit for "more follows", each as one character.
"""

import numpy as np


def encode_rle(mask: np.ndarray) -> str:
    """Compress a mask (H, W) bool to the string that goes under ``segmentation.counts``."""
    pixels = np.asarray(mask, dtype=bool).ravel(order="F")
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    runs = np.diff(np.concatenate([[0], changes, [pixels.size]])).tolist()
    if pixels.size and pixels[0]:
        runs = [0, *runs]
    return "".join(_characters(run - runs[i - 2] if i > 2 else run) for i, run in enumerate(runs))


def decode_rle(counts: str, height: int, width: int) -> np.ndarray:
    """The inverse of `encode_rle`: (height, width) bool.

    Raises:
        ValueError: runs that do not add up to the size.
    """
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        group = ord(character) - 48
        value |= (group & 31) << shift
        shift += 5
        if not group & 32:
            if group & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if sum(runs) != height * width or min(runs, default=0) < 0:
        raise ValueError(
            f"the runs add up to {sum(runs)} pixels; expected {height} x {width} = {height * width}"
        )
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return pixels.reshape((height, width), order="F")


def _characters(value: int) -> str:
    text = ""
    while True:
        group, value = value & 31, value >> 5
        # Done when what is left is only the sign that the group's highest bit already shows.
        more = value != (-1 if group & 16 else 0)
        text += chr(48 + group + (32 if more else 0))
        if not more:
            return text
