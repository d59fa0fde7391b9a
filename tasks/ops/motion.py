"""What moves by itself in a video: optical flow less the camera's."""

import cv2
import numpy as np

_SIDE = 448  # pixels of the longer side that flow is computed at
_STILL = 0.05  # pixels of mean residual below which nothing is said to move
_PEAK = 6.0  # times the mean; more does not count as more


def own_motion(frame: np.ndarray, other: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """How far each place moves apart from the camera between two neighbouring frames.

    Dense inverse-search flow (Kroeger et al. 2016); an affine motion is fitted to all of it by
    RANSAC and taken off: a pan, a zoom or a roll of the camera leaves nothing.

    Args:
        frame, other: (H, W, 3) uint8 of one size.
        shape: (rows, cols) of the answer.

    Returns:
        (rows, cols) float32 lengths, in pixels of a frame whose longer side is 448.
    """
    scale = _SIDE / max(frame.shape[:2])
    size = max(16, round(frame.shape[1] * scale)), max(16, round(frame.shape[0] * scale))
    first, second = (
        cv2.resize(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
        for f in (frame, other)
    )
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = estimator.calc(first, second, None)
    y, x = np.mgrid[: size[1], : size[0]].astype(np.float32)
    places = np.stack([x, y], axis=-1)
    camera = _camera(places[::4, ::4].reshape(-1, 2), flow[::4, ::4].reshape(-1, 2))
    expected = places @ camera[:, :2].T + camera[:, 2] - places
    lengths = np.linalg.norm(flow - expected, axis=-1).astype(np.float32)
    moved: np.ndarray = cv2.resize(lengths, shape[::-1], interpolation=cv2.INTER_AREA)
    return moved


def salient_and_moving(saliency: np.ndarray, motion: np.ndarray | None) -> np.ndarray:
    """Geometric mean of saliency and motion, each over its own mean, in [0, 1].

    saliency, motion: (rows, cols), not negative. A frame in which nothing moves, or whose
    motion is unknown, has its saliency alone.
    """
    still = motion is None or float(motion.mean()) < _STILL
    seen = _levelled(saliency)
    return seen if still or motion is None else np.sqrt(seen * _levelled(motion))


def _levelled(values: np.ndarray) -> np.ndarray:
    levels: np.ndarray = np.minimum(values / max(float(values.mean()), 1e-9), _PEAK) / _PEAK
    return levels.astype(np.float32)


def _camera(places: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """(2, 3) affine map of places (P, 2) to where most of them go; identity where none fits."""
    cv2.setRNGSeed(0)
    fitted, _ = cv2.estimateAffine2D(
        places, places + flow, method=cv2.RANSAC, ransacReprojThreshold=1.0, maxIters=500
    )
    if fitted is None:
        return np.eye(2, 3, dtype=np.float32)
    return np.asarray(fitted, dtype=np.float32)
