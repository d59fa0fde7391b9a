"""Two views compared: identity, mirror and shortage, in pixels of the original images."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from pydantic import ValidationError

from storage.images import ImageRef
from tasks import matching
from tasks.correspond import match_rows, shortage
from tasks.match_config import CorrespondConfig
from tasks.matching import View, compare, dense_flow, find_matches, join_facets, transfer_points
from tasks.ops.patch_grid import plan_grid

CONFIG = CorrespondConfig(device="cpu", temperature=0.001, window=1)


def view(maps: torch.Tensor, *, saliency: float = 1.0, width: int = 120, height: int = 60) -> View:
    grid = plan_grid(width, height, patch=14, stride=(7, 7), size=70, fit="square")
    assert grid.shape == tuple(maps.shape[:2]) == (9, 9)
    ref = ImageRef("a.png", "a.png", 0, "")
    return View("a.png", ref, grid, maps, np.full((9, 9), saliency, np.float32))


def random_maps(seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(9, 9, 32))).float()


def test_one_image_twice_maps_onto_itself() -> None:
    one = view(random_maps())
    found = compare(one, one, CONFIG)
    assert not found.source.mirrored
    xy = np.array([[60.0, 30.0], [36.0, 20.0]])  # a patch's centre, and one between patches
    points = transfer_points(found, xy, CONFIG)
    assert_allclose(points.xy[0], xy[0], atol=0.5)
    centres = one.grid.centers_xy()
    flow = dense_flow(found, CONFIG)
    assert flow.shape == (60, 120, 2)
    for x, y in centres[[0, 40, 80]]:
        assert_allclose(flow[int(y), int(x)], [int(x) + 0.5, int(y) + 0.5], atol=0.5)


def test_a_mirrored_image_of_another_size_is_turned_round() -> None:
    maps = random_maps(1)
    source, target = view(maps), view(maps.flip(1), width=60, height=120)
    found = compare(source, target, CONFIG)
    assert found.source.mirrored
    xy = source.grid.centers_xy()
    points = transfer_points(found, xy, CONFIG)
    expected = np.stack([(120 - xy[:, 0]) / 2, 2 * xy[:, 1]], axis=-1)
    assert_allclose(points.xy, expected, atol=0.6)
    flow = dense_flow(found, CONFIG)
    x, y = (int(v) for v in xy[40])
    assert_allclose(flow[y, x], [(120 - x - 0.5) / 2, 2 * y + 1], atol=0.6)
    assert not compare(source, target, CONFIG.replace(mirror=False)).source.mirrored


def test_matches_of_an_image_with_itself_lie_at_the_same_pixels() -> None:
    one = view(random_maps(2))
    matches = find_matches(compare(one, one, CONFIG), CONFIG)
    assert len(matches.similarity) == CONFIG.pairs
    assert matches.buddies == 81
    assert_allclose(matches.source_xy, matches.target_xy)
    assert len(match_rows(matches)[0]) == 6
    assert shortage(one, one, matches, CONFIG) is None


def test_too_few_matches_come_with_the_reason() -> None:
    one, dark = view(random_maps(3)), view(random_maps(3), saliency=0.0)
    nothing = find_matches(compare(one, dark, CONFIG), CONFIG)
    assert len(nothing.similarity) == 0
    message = shortage(one, dark, nothing, CONFIG)
    assert message is not None
    assert "no patch of a.png is more salient than 0.05" in message
    wanted = CONFIG.replace(pairs=100)
    message = shortage(one, one, find_matches(compare(one, one, wanted), wanted), wanted)
    assert message is not None
    assert "81 of 100 pairs wanted: there are 81 salient mutual" in message


def test_of_very_many_buddies_evenly_chosen_ones_are_spread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, wanted = view(random_maps(6)), CONFIG.replace(pairs=81)
    for most, expected in ((81, 81), (80, 80), (30, 30)):
        monkeypatch.setattr(matching, "MOST_PAIRS", most)
        matches = find_matches(compare(one, one, wanted), wanted)
        assert (len(matches.similarity), matches.buddies) == (expected, 81)
        corners = one.grid.centers_xy()[[0, 80]].tolist()
        assert all(corner in matches.source_xy.tolist() for corner in corners)
    with pytest.raises(ValidationError, match="less than or equal to 1024"):
        CONFIG.replace(pairs=1025)


def test_joined_facets_count_alike_whatever_their_scale() -> None:
    small, large = random_maps(4), 100 * random_maps(5)
    joined = join_facets([small, large])
    assert joined.shape == (9, 9, 64)
    assert_allclose(joined[..., :32].norm(dim=-1), 1, atol=1e-5)
    assert_allclose(joined[..., 32:].norm(dim=-1), 1, atol=1e-5)
