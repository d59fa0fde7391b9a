"""One clip's way with descriptors that are known exactly: every mask can be told in advance."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from storage.results import VOC_PALETTE
from storage.videos import Clip, Frame, open_clip
from tasks import clip_run
from tasks.clip_ahead import Behind, ahead
from tasks.clip_state import ClipState, load_state
from tasks.given_masks import GivenMasks
from tasks.ops.patch_grid import plan_grid
from tasks.propagator import FrameMask
from tasks.video_config import PropagateConfig

PATCH, ROWS, COLS, FRAMES = 8, 12, 18, 7
PLAIN = PropagateConfig(channels=None, recent=3, labels="patch", refinement="none", checkpoint=2)


def block(index: int) -> tuple[slice, slice]:
    """Patches of a 4 x 5 block that moves by one patch a frame."""
    return slice(4, 8), slice(2 + index, 7 + index)


NEWCOMER = slice(0, 2), slice(0, 3)  # patches of another thing, which stands still


def truth(index: int, *, gone: bool = False, newcomer: bool = False) -> np.ndarray:
    patches = np.zeros((ROWS, COLS), np.uint8)
    patches[block(index)] = not gone
    patches[NEWCOMER] = 2 * newcomer
    return np.kron(patches, np.ones((PATCH, PATCH), np.uint8))


def assert_found(mask: np.ndarray, index: int, **scene: bool) -> None:
    """Every patch is right in its middle; borders between patches are soft."""
    middle = slice(PATCH // 2, None, PATCH)
    expected = truth(index, **scene)
    np.testing.assert_array_equal(mask[middle, middle], expected[middle, middle], str(index))


class Painted:
    """Descriptors of a scene: one for all of the background, one for each place in the things.

    absent: frames without the block. since: the first frame with the newcomer.
    """

    device = "cpu"
    together = 1

    def __init__(self, absent: frozenset[int] = frozenset(), since: int = FRAMES) -> None:
        self.grid = plan_grid(COLS * PATCH, ROWS * PATCH, patch=PATCH, stride=(8, 8), size=96)
        self.absent, self.since = absent, since
        self.described: list[int] = []

    def __call__(self, frames: Sequence[Frame]) -> torch.Tensor:
        return torch.stack([self.describe(frame) for frame in frames])

    def describe(self, frame: Frame) -> torch.Tensor:
        self.described.append(frame.index)
        codes = np.zeros((ROWS, COLS), np.int64)
        if frame.index not in self.absent:
            codes[block(frame.index)] = 1 + np.arange(20).reshape(4, 5)
        if frame.index >= self.since:
            codes[NEWCOMER] = 21 + np.arange(6).reshape(2, 3)
        return torch.eye(27)[torch.from_numpy(codes)]


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    folder = tmp_path / "walk"
    folder.mkdir()
    for index in range(FRAMES):
        picture = np.zeros((ROWS * PATCH, COLS * PATCH, 3), np.uint8)
        Image.fromarray(picture).save(folder / f"{index:05d}.png")
    return open_clip(str(folder))


class Run:
    """Runs a clip with painted descriptors; keeps the masks that came out."""

    def __init__(self, clip: Clip, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.clip, self.folder, self.patch = clip, folder, patch
        self.masks: dict[int, np.ndarray] = {}
        self.state = ClipState("key")
        self.stop_at: int | None = None
        self.painted = Painted()

    def __call__(self, masks: dict[int, np.ndarray]) -> clip_run.Missing:
        self.patch.setattr(clip_run, "describer_of", lambda *_: self.painted)
        numbers = tuple(sorted({int(n) for m in masks.values() for n in np.unique(m)} - {0}))
        given = GivenMasks(masks, numbers, VOC_PALETTE, "digest")
        self.state = load_state(str(self.folder), "key")
        return clip_run.run_clip(self.clip, given, PLAIN, self.state, str(self.folder), self._keep)

    def _keep(self, frame: Frame, found: FrameMask) -> None:
        if frame.index == self.stop_at:
            raise KeyboardInterrupt
        self.masks[frame.index] = found.labels


@pytest.fixture
def run(clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(clip, tmp_path / "out", monkeypatch)


def test_masks_in_mid_video_reach_both_ways(run: Run) -> None:
    run.painted = Painted(since=5)
    assert run({3: truth(3), 5: truth(5, newcomer=True)}) == []
    assert sorted(run.masks) == list(range(FRAMES))
    for index, mask in run.masks.items():
        assert_found(mask, index, newcomer=index >= 5)
    patch = 1 / (ROWS * COLS)
    assert run.state.areas[3] == (20 * patch, 0)
    assert run.state.areas[5] == (20 * patch, 6 * patch)
    assert (run.state.confidence[3], run.state.confidence[5]) == (1, 1)
    assert all(0.5 < run.state.confidence[i] < 1 for i in (0, 1, 2, 4, 6))


def test_an_object_that_leaves_is_gone_and_comes_back(run: Run) -> None:
    run.painted = Painted(frozenset({2, 3, 4, 5}))  # longer than the recent frames remember
    run({0: truth(0)})
    for index, mask in run.masks.items():
        assert_found(mask, index, gone=index in run.painted.absent)


@pytest.mark.parametrize(("stop", "again"), [(6, [0, 1, 2, 3, 5, 6]), (0, [0, 1])])
def test_either_way_goes_on_where_it_stopped(run: Run, stop: int, again: list[int]) -> None:
    masks = {4: truth(4)}
    run.stop_at = stop
    with pytest.raises(KeyboardInterrupt):
        run(masks)
    run.masks.clear()
    run.stop_at = None
    run(masks)
    assert sorted(run.masks) == again
    for index, mask in run.masks.items():
        assert_found(mask, index)
    assert sorted(run.state.areas) == list(range(FRAMES))


def test_a_broken_frame_is_remembered_by_a_run_that_goes_on(run: Run) -> None:
    for name in ("00000", "00002"):
        (Path(run.clip.url) / f"{name}.png").write_bytes(b"")
    run.stop_at = 6
    with pytest.raises(KeyboardInterrupt):
        run({0: truth(1)})  # frame 0 is broken: its mask serves for frame 1
    run.stop_at = None
    missing = run({0: truth(1)})
    assert [name for name, _ in missing] == ["00000", "00002"]
    assert sorted(run.masks) == [1, 3, 4, 5, 6]
    for index, mask in run.masks.items():
        assert_found(mask, index)


def test_items_are_made_ahead_in_order_and_no_further_than_told() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(9):
            made.append(number)
            yield number
        raise OSError("the disk is gone")

    taken = ahead(items(), 3)
    assert [next(taken) for _ in range(4)] == [0, 1, 2, 3]
    assert max(made) <= 3 + 3
    with pytest.raises(OSError, match="the disk is gone"):
        list(taken)
    assert list(ahead([], 2)) == []
    assert list(ahead("abc", 5)) == ["a", "b", "c"]


def test_what_is_done_behind_is_taken_in_order() -> None:
    taken: list[int] = []
    with Behind(taken.append, 3) as behind:
        for number in range(20):
            behind.submit(lambda number=number: number)  # type: ignore[misc]
        behind.drain()
        assert taken == list(range(20))
        behind.submit(lambda: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            behind.drain()
