"""Motion apart from the camera's: known shifts of a random texture."""

import cv2
import numpy as np
from numpy.testing import assert_allclose

from tasks.ops.motion import own_motion, salient_and_moving


def texture(seed: int, height: int = 300, width: int = 500) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 3).astype(np.float32)


def stretched(picture: np.ndarray) -> np.ndarray:
    low, high = picture.min(), picture.max()
    return ((picture - low) / (high - low) * 255).astype(np.uint8)


def test_only_what_moves_against_the_camera_is_left() -> None:
    background, thing = stretched(texture(0)), stretched(texture(1))
    frames = []
    for camera, own in ((0, 0), (6, -4)):
        frame = background[20:276, 10 + camera : 458 + camera].copy()
        frame[96:160, 192 + own : 256 + own] = thing[:64, :64]
        frames.append(frame)
    moved = own_motion(frames[0], frames[1], (8, 14))
    # 6 pixels to the left by the camera, 4 by itself: 2 pixels against the background.
    assert_allclose(moved[3:5, 6:8], 2, atol=0.7)
    away = np.ones((8, 14), bool)
    away[2:6, 5:9] = False
    away[:, 0] = False  # what comes into view there has no flow
    assert np.median(moved[away]) < 0.3


def test_a_still_picture_has_no_motion() -> None:
    frame = stretched(texture(2))[:256, :448]
    assert own_motion(frame, frame, (8, 14)).max() < 0.05


def test_salient_and_moving_by_hand() -> None:
    saliency = np.array([[0.0, 0.2], [0.2, 1.6]], np.float32)  # mean 0.5
    motion = np.array([[8.0, 0.0], [4.0, 4.0]], np.float32)  # mean 4
    expected = np.sqrt(np.array([[0, 0], [0.4 * 1, 3.2 * 1]])) / 6
    assert_allclose(salient_and_moving(saliency, motion), expected, rtol=1e-5)
    alone = np.array([[0, 0.4], [0.4, 3.2]]) / 6
    assert_allclose(salient_and_moving(saliency, None), alone, rtol=1e-5)
    assert_allclose(salient_and_moving(saliency, motion * 0.001), alone, rtol=1e-5)
