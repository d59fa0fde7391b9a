"""Middlebury's flow files byte by byte, and warping by hand."""

import struct

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tasks.ops.flow import decode_flow, displacements, encode_flow, positions, warp


def test_a_file_is_read_as_its_format_says() -> None:
    data = b"PIEH" + struct.pack("<ii", 2, 1) + struct.pack("<ffff", 1.5, -2, 1e10, 1e10)
    flow = decode_flow(data)
    assert flow.shape == (1, 2, 2)
    assert_array_equal(flow[0, 0], [1.5, -2])
    assert np.isnan(flow[0, 1]).all()
    assert encode_flow(flow) == data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PNG", "begins with b'PIEH'; got b'PNG'"),
        (b"PIEH" + struct.pack("<ii", 3, 2) + b"\0" * 40, "60 bytes of a .flo file of 3x2"),
        (b"PIEH" + struct.pack("<ii", -1, 2), "-1x2"),
    ],
)
def test_what_is_no_flow_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode_flow(data)


def test_positions_and_displacements_are_inverse() -> None:
    flow = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
    assert_array_equal(positions(np.zeros_like(flow))[2, 1], [1.5, 2.5])
    assert_allclose(displacements(positions(flow)), flow, atol=1e-6)


def test_warping_moves_pixels_and_leaves_white_where_nothing_is_known() -> None:
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3) * 5
    same = positions(np.zeros((2, 4, 2)))
    assert_array_equal(warp(image, same), image)
    left = warp(image, same + np.array([1, 0]))
    assert_array_equal(left[:, :3], image[:, 1:])
    assert (left[:, 3] == 255).all()
    same[0, 0] = np.nan
    assert (warp(image, same)[0, 0] == 255).all()
    half = warp(image, np.array([[[1.0, 0.5]]]))[0, 0]
    assert_allclose(half, (image[0, 0].astype(float) + image[0, 1]) / 2, atol=0.5)
