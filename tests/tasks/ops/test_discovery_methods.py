"""Six methods of object discovery: one signature, one set of laws."""

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.ops.boxes import grid_box_xyxy, iou_xyxy
from tasks.ops.deep_spectral import deep_spectral
from tasks.ops.discovery import Discovery, artefacts, mean_cosine, read_scene, separation
from tasks.ops.lost import degrees, lost
from tasks.ops.objectness import discover_objects, learn_objectness, objects_of
from tasks.ops.patch_grid import plan_grid, unit
from tasks.ops.salient_object import salient_object
from tasks.ops.token_cut import mask_cut, token_cut

Method = Callable[..., list[Discovery]]
METHODS: dict[str, Method] = {
    "lost": lost,
    "token_cut": token_cut,
    "mask_cut": mask_cut,
    "deep_spectral": deep_spectral,
    "salient_object": salient_object,
    "objectness": discover_objects,
}
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())


def scene(
    truth: np.ndarray, seed: int = 0, apart: float = 1.0, shift: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Descriptors (1, rows, cols, 12) and saliency of a scene whose object is `truth`."""
    rng = np.random.default_rng(seed)
    inside, outside = rng.normal(size=(2, 12))
    values = np.where(truth[..., None], apart * inside, outside)
    noisy = values + 0.2 * rng.normal(size=(*truth.shape, 12)) + shift
    saliency = np.where(truth, 0.8, 0.1) + 0.05 * rng.random(truth.shape)
    return noisy[None].astype(np.float32), saliency[None].astype(np.float32)


def rectangle(rows: int, cols: int, top: int, left: int, height: int, width: int) -> np.ndarray:
    mask = np.zeros((rows, cols), dtype=bool)
    mask[top : top + height, left : left + width] = True
    return mask


@every_method
def test_a_plain_object_is_found_exactly(method: Method) -> None:
    truth = rectangle(12, 15, 3, 4, 5, 6)
    options = {"center": True} if method is lost else {}
    found = method(*scene(truth), **options)[0]
    np.testing.assert_array_equal(found.masks[0], truth)
    assert found.scores[0] == 1.0
    assert truth.flat[found.seeds[0]]
    assert found.reason is None


@every_method
@pytest.mark.parametrize(
    "case", ["zeros", "one colour", "noise", "fills", "3x3", "1x1", "1x2", "two equal"]
)
def test_odd_scenes_give_a_box_or_a_reason(method: Method, case: str) -> None:
    rng = np.random.default_rng(3)
    if case == "zeros":
        values, saliency = np.zeros((1, 6, 7, 8)), np.zeros((1, 6, 7))
    elif case == "one colour":
        values, saliency = np.ones((1, 6, 7, 8)), np.zeros((1, 6, 7))
    elif case == "noise":
        values, saliency = rng.normal(size=(1, 6, 7, 8)), rng.random((1, 6, 7))
    elif case == "fills":
        values, saliency = scene(rectangle(6, 7, 0, 0, 6, 7))
    elif case == "two equal":
        truth = rectangle(9, 15, 2, 2, 4, 4) | rectangle(9, 15, 2, 9, 4, 4)
        values, saliency = scene(truth)
    else:
        rows, cols = (int(n) for n in case.split("x"))
        values, saliency = rng.normal(size=(1, rows, cols, 8)), rng.random((1, rows, cols))
    (found,) = method(values.astype(np.float32), saliency.astype(np.float32))
    assert found.soft.shape == saliency.shape[1:]
    assert np.isfinite(found.soft).all()
    assert found.found or found.reason
    for mask, seed, score in zip(found.masks, found.seeds, found.scores, strict=True):
        assert mask.flat[seed]
        assert 0 <= score <= 1
    if case in {"zeros", "one colour"}:
        assert not found.found


@every_method
def test_a_batch_gives_what_its_images_give(method: Method) -> None:
    scenes = [scene(rectangle(8, 9, s % 3, s, 4, 4), seed=s) for s in range(3)]
    together = method(
        np.concatenate([v for v, _ in scenes]), np.concatenate([s for _, s in scenes])
    )
    if method is discover_objects:
        learned = learn_objectness(scenes)
        alone = [method(*one, objectness=learned)[0] for one in scenes]
    else:
        alone = [method(*one)[0] for one in scenes]
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_array_equal(a.masks, b.masks)


@every_method
def test_tensors_give_what_arrays_give(method: Method) -> None:
    values, saliency = scene(rectangle(11, 13, 2, 3, 5, 6), seed=2)
    values[0, 0, 0] *= 20  # an artefact
    one = method(values, saliency)[0]
    other = method(torch.from_numpy(values), saliency)[0]
    assert isinstance(other.soft, np.ndarray)
    np.testing.assert_array_equal(one.masks, other.masks)
    np.testing.assert_array_equal(one.seeds, other.seeds)


def test_lost_counts_as_the_whole_product_does() -> None:
    keys = np.random.default_rng(5).normal(size=(2, 700, 6)).astype(np.float32)
    keys[:, 3] = 0
    literal = np.stack([(k @ k.T > 0).sum(axis=1) - (np.square(k).sum(axis=1) > 0) for k in keys])
    np.testing.assert_array_equal(degrees(keys), literal)


def test_a_large_cut_needs_neither_torch_nor_half_a_gigabyte() -> None:
    """The whole process, Python and NumPy included, at 60 x 80 patches of 384 channels."""
    script = """
import re, sys
from pathlib import Path
import numpy as np
from tasks.ops.token_cut import token_cut
rng = np.random.default_rng(0)
truth = np.zeros((60, 80), dtype=bool)
truth[12:40, 20:61] = True
kinds = rng.normal(size=(2, 384))
values = (kinds[truth.astype(int)] + 0.5 * rng.normal(size=(60, 80, 384))).astype(np.float32)
(found,) = token_cut(values[None], truth[None].astype(np.float32))
assert (found.masks[0] == truth).all()
assert "torch" not in sys.modules
# Not getrusage: its peak is inherited from the process that started this one.
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stderr
    assert int(done.stdout) < 500_000


def test_a_fixed_tau_fails_where_all_descriptors_look_alike_and_the_mean_cosine_does_not() -> None:
    truth = rectangle(12, 15, 3, 4, 5, 6)
    values, saliency = scene(truth, shift=8.0)
    assert float(mean_cosine(read_scene(values, saliency).unit)[0]) > 0.9
    fixed = token_cut(values, saliency, tau=0.2)[0]
    assert "tau is too low" in (fixed.reason or "") or not fixed.found
    np.testing.assert_array_equal(token_cut(values, saliency)[0].masks[0], truth)
    np.testing.assert_array_equal(discover_objects(values, saliency)[0].masks[0], truth)


def test_saliency_turns_a_cut_round() -> None:
    truth = rectangle(10, 10, 0, 0, 10, 6)  # the object is the larger side
    values, saliency = scene(truth)
    found = token_cut(values, saliency, by_saliency=True)[0]
    np.testing.assert_array_equal(found.masks[0], truth)


def test_mask_cut_finds_objects_of_different_kinds() -> None:
    first, second = rectangle(12, 20, 2, 2, 5, 5), rectangle(12, 20, 5, 12, 5, 6)
    rng = np.random.default_rng(1)
    kinds = rng.normal(size=(3, 24))
    values = kinds[np.where(first, 1, np.where(second, 2, 0))]
    noisy = (values + 0.1 * rng.normal(size=values.shape))[None].astype(np.float32)
    saliency = (first | second).astype(np.float32)[None]
    masks = mask_cut(noisy, saliency, tau=0.5)[0].masks
    for truth in (first, second):
        assert any(np.array_equal(mask, truth) for mask in masks)


def test_mean_cosine_is_the_mean_of_all_pairs() -> None:
    values = torch.nn.functional.normalize(torch.randn(2, 7, 5), dim=2)
    literal = torch.stack([(v @ v.T).mean() for v in values])
    torch.testing.assert_close(mean_cosine(values), literal)


def test_separation_counts_pairs() -> None:
    saliency = np.array([[3.0, 1.0], [1.0, 0.0]])
    mask = np.array([[True, True], [False, False]])
    assert separation(saliency, mask) == (2 + 1.5) / 4  # 3 beats both; 1 ties and beats
    assert separation(saliency, mask & False) == 0.5


def test_artefacts_are_mended_from_their_neighbours() -> None:
    values = np.ones((1, 4, 4, 3), dtype=np.float32)
    values[0, 1, 1] = 50
    assert artefacts(torch.tensor(values)).sum() == 1
    saliency = np.zeros((1, 4, 4), dtype=np.float32)
    saliency[0, 1, 1] = 1
    mended = read_scene(values, saliency)
    np.testing.assert_array_equal(mended.raw, np.ones((1, 16, 3)))
    assert mended.saliency.max() == 0


def test_objectness_is_fisher_s_discriminant() -> None:
    """With labels at rest the direction solves C w = m1 - m0 and the means map to 1 and 0."""
    values, saliency = scene(rectangle(12, 15, 3, 4, 5, 6))
    learned = learn_objectness([(values[0], saliency[0])], shrinkage=0.1)
    assert learned is not None
    x = unit(values[0]).reshape(-1, 12).astype(np.float64)
    inside = rectangle(12, 15, 3, 4, 5, 6).ravel()
    covariance = np.cov(x.T, bias=True)
    covariance += 0.1 * np.trace(covariance) / 12 * np.eye(12)
    expected = np.linalg.solve(covariance, x[inside].mean(0) - x[~inside].mean(0))
    np.testing.assert_allclose(learned.direction, expected, rtol=1e-3)
    soft = learned.soft(values[0]).ravel()
    assert soft[inside].mean() == pytest.approx(1, abs=1e-3)
    assert soft[~inside].mean() == pytest.approx(0, abs=1e-3)
    assert learned.share == inside.mean()


def test_further_objects_are_not_crumbs() -> None:
    soft = np.zeros((6, 12), dtype=np.float32)
    soft[1:5, 1:6] = 1.0  # 20 patches that exceed 0.5 by 0.5 each
    soft[2:4, 8:10] = 1.0  # 4 of them: a fifth
    soft[5, 11] = 1.0  # 1: a twentieth
    found = objects_of(soft, soft, objects=3)
    assert [int(mask.sum()) for mask in found.masks] == [20, 4]


def test_a_speckled_picture_of_many_pixels_takes_no_mask_for_each_speck() -> None:
    soft = np.zeros((600, 800), dtype=np.float32)
    soft[::4, ::4] = 1.0  # 30,000 components: 14 GB of masks
    soft[102:199, 102:199] = 1.0
    tracemalloc.start()
    try:
        found = objects_of(soft, soft)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.masks.sum() == 97 * 97
    assert peak < 60 * soft.size


def test_a_learned_direction_serves_other_images() -> None:
    truth = rectangle(12, 15, 3, 4, 5, 6)
    learned = learn_objectness([scene(truth)])
    other = rectangle(12, 15, 5, 8, 4, 5)
    values, saliency = scene(other)  # the same seed: the same two kinds of patches
    found = discover_objects(values, 0 * saliency, objectness=learned)[0]
    np.testing.assert_array_equal(found.masks[0], other)


@every_method
def test_errors_name_what_came(method: Method) -> None:
    with pytest.raises(ValueError, match=r"must be \(B, rows, cols, D\); got \(3, 3, 4\)"):
        method(np.zeros((3, 3, 4)), np.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"saliency must be \(1, 3, 3\).*got \(1, 3, 4\)"):
        method(np.zeros((1, 3, 3, 4)), np.zeros((1, 3, 4)))
    with pytest.raises(ValueError, match="must be finite"):
        method(np.full((1, 3, 3, 4), np.nan), np.zeros((1, 3, 3)))


def test_tau_is_a_cosine() -> None:
    with pytest.raises(ValueError, match=r"tau is a cosine and must lie in \[-1, 1\]; got 2"):
        token_cut(*scene(rectangle(4, 4, 1, 1, 2, 2)), tau=2)


def test_many_images_teach_what_one_of_all_their_patches_does() -> None:
    values, saliency = scene(rectangle(12, 15, 3, 4, 5, 6))
    saliency = np.where(saliency > saliency.mean(), saliency, 0)  # the mean says no more
    whole = learn_objectness([(values[0], saliency[0])])
    rows = learn_objectness((values[0][i : i + 4], saliency[0][i : i + 4]) for i in (0, 4, 8))
    assert whole is not None
    assert rows is not None
    np.testing.assert_allclose(rows.direction, whole.direction, rtol=1e-4, atol=1e-6)
    assert (rows.share, rows.changed) == (whole.share, whole.changed)


def test_learning_needs_images_and_their_saliency() -> None:
    with pytest.raises(ValueError, match="saliency of 4 patches; got 3 values"):
        learn_objectness([(np.ones((4, 2)), np.ones(3))])
    with pytest.raises(ValueError, match="at least one image; got none"):
        learn_objectness([])


@pytest.mark.data
@pytest.mark.parametrize("case", ["0", "1", "2"])
def test_agrees_with_the_original_implementations(golden: Path, case: str) -> None:
    data = np.load(golden / "discovery.npz")
    rows, cols = (int(n) for n in data[f"{case}/grid"])
    height, width = (int(n) for n in data[f"{case}/image_size"])
    grid = plan_grid(width, height, patch=16, stride=(16, 16), size=0, fit="native")
    values = data[f"{case}/descriptors"].reshape(1, rows, cols, -1)
    saliency = np.zeros((1, rows, cols), dtype=np.float32)
    cut = token_cut(values, saliency, tau=0.2)[0]
    np.testing.assert_array_equal(cut.masks[0], data[f"{case}/tokencut/mask"])
    box = grid_box_xyxy(cut.masks[0], grid)
    np.testing.assert_array_equal(box, data[f"{case}/tokencut/box_xyxy"])
    vector = data[f"{case}/tokencut/eigenvector"]
    sign = np.sign((cut.soft * vector).sum())
    assert np.abs(sign * cut.soft - vector).max() < 1e-3 * np.abs(vector).max()
    grown = lost(values, saliency)[0]
    flat = values[0].reshape(rows * cols, -1)
    degree = (flat @ flat.T > 0).sum(axis=1) - 1
    assert degree[grown.seeds[0]] == degree[data[f"{case}/lost/seed"]]
    box = grid_box_xyxy(grown.masks[0], grid)
    same_seed = grown.seeds[0] == data[f"{case}/lost/seed"]
    assert iou_xyxy(box, data[f"{case}/lost/box_xyxy"])[0, 0] == 1 or not same_seed
