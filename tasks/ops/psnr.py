"""Peak signal-to-noise ratio of a rendering, of all pixels or of some."""

import numpy as np

_LEAST_ERROR = 1e-8  # 80 dB: equal pictures would be infinitely good and drown a mean


def masked_psnr(rendered: np.ndarray, true: np.ndarray, keep: np.ndarray | None = None) -> float:
    """-10 log10 of the mean squared error of [0, 1] colours over the kept pixels, in dB.

    Args:
        rendered, true: (H, W, 3) uint8. keep: (H, W) bool; None for all pixels.

    Returns:
        At most 80 dB; NaN where no pixel is kept.

    Raises:
        ValueError: pictures or mask of different sizes.
    """
    shape = true.shape[:2] if keep is None else keep.shape
    if rendered.shape != true.shape or true.shape[:2] != shape:
        raise ValueError(
            f"expected two pictures and a mask of one size; got {rendered.shape}, {true.shape} "
            f"and {shape}"
        )
    kept = np.ones(shape, dtype=bool) if keep is None else keep
    if not kept.any():
        return float("nan")
    difference = (rendered[kept].astype(np.float64) - true[kept]) / 255
    return float(-10 * np.log10(max(np.mean(difference**2), _LEAST_ERROR)))
