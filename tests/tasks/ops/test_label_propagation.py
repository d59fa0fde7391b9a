"""Label propagation against a literal reference, the original's numbers, and laws."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tasks.ops.kinds import Neighbourhood
from tasks.ops.label_propagation import plan_windows, propagate_labels


def reference(
    query: Tensor,
    context: Tensor,
    labels: Tensor,
    radius: int,
    neighbourhood: str,
    top_k: int,
    temperature: float,
) -> np.ndarray:
    """The definition, patch by patch, in Python floats."""
    rows, cols = query.shape[:2]
    out = np.zeros((rows, cols, labels.shape[-1]))
    for r, c in itertools.product(range(rows), range(cols)):
        seen = []
        for t, y, x in itertools.product(range(len(context)), range(rows), range(cols)):
            inside = (
                max(abs(y - r), abs(x - c)) <= radius
                if neighbourhood == "square"
                else math.hypot(y - r, x - c) <= radius
            )
            if inside:
                seen.append((float(query[r, c] @ context[t, y, x]), labels[t, y, x].numpy()))
        seen.sort(key=lambda pair: -pair[0])
        weights = [math.exp(cosine / temperature) for cosine, _ in seen[:top_k]]
        for weight, (_, label) in zip(weights, seen, strict=False):
            out[r, c] += weight / sum(weights) * label
    return out


def random_video(
    seed: int, frames: int, rows: int, cols: int, labels: int
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    descriptors = torch.randn((frames + 1, rows, cols, 6), generator=generator, dtype=torch.float64)
    descriptors = torch.nn.functional.normalize(descriptors, dim=-1)
    soft = torch.rand((frames, rows, cols, labels), generator=generator, dtype=torch.float64)
    return descriptors[-1], descriptors[:-1], soft / soft.sum(dim=-1, keepdim=True)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    frames=st.integers(1, 3),
    rows=st.integers(1, 5),
    cols=st.integers(1, 6),
    radius=st.integers(0, 6),
    top_k=st.integers(1, 7),
    tile=st.integers(1, 4),
    neighbourhood=st.sampled_from(["square", "circle"]),
)
def test_any_tiling_agrees_with_the_definition(
    seed: int,
    frames: int,
    rows: int,
    cols: int,
    radius: int,
    top_k: int,
    tile: int,
    neighbourhood: Neighbourhood,
) -> None:
    query, context, labels = random_video(seed, frames, rows, cols, labels=2)
    plan = plan_windows(rows, cols, radius=radius, neighbourhood=neighbourhood, tile=tile)
    found = propagate_labels(query, list(context), list(labels), plan, top_k=top_k, temperature=0.2)
    expected = reference(query, context, labels, radius, neighbourhood, top_k, 0.2)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_rows_and_columns_may_reach_differently() -> None:
    query, context, _labels = random_video(13, 1, 5, 9, labels=1)
    ones = torch.eye(45, dtype=torch.float64).unflatten(0, (5, 9))
    seen = {}
    for neighbourhood in ("square", "circle"):
        plan = plan_windows(5, 9, radius=(1, 3), neighbourhood=neighbourhood)  # type: ignore[arg-type]
        found = propagate_labels(query, [context[0]], [ones], plan, top_k=45)
        seen[neighbourhood] = (found[2, 4] > 0).unflatten(0, (5, 9)).int().tolist()
    assert seen["square"] == [[0] * 9, *[[0, 1, 1, 1, 1, 1, 1, 1, 0]] * 3, [0] * 9]
    middle = [0, 1, 1, 1, 1, 1, 1, 1, 0]
    above = [0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert seen["circle"] == [[0] * 9, above, middle, above, [0] * 9]


def test_numbers_by_hand() -> None:
    # One row of two patches; the query's first patch has cosines 1 and 0 with the context.
    query = torch.tensor([[[1.0, 0.0], [0.6, 0.8]]])
    context = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    labels = torch.tensor([[[1.0], [0.0]]])
    plan = plan_windows(1, 2, radius=1)
    found = propagate_labels(query, [context], [labels], plan, top_k=2, temperature=1.0)
    first = math.e / (math.e + 1)
    second = math.exp(0.6) / (math.exp(0.6) + math.exp(0.8))
    np.testing.assert_allclose(found[0, :, 0].numpy(), [first, second], atol=1e-6)


def test_a_radius_of_zero_keeps_labels_in_place() -> None:
    query, context, labels = random_video(3, 1, 4, 5, labels=3)
    plan = plan_windows(4, 5, radius=0)
    found = propagate_labels(query, [context[0]], [labels[0]], plan)
    torch.testing.assert_close(found, labels[0])


def test_a_shifted_frame_carries_its_labels_along() -> None:
    query, _, labels = random_video(5, 1, 6, 7, labels=2)
    moved = torch.roll(query, 2, dims=1)
    plan = plan_windows(6, 7, radius=2)
    found = propagate_labels(moved, [query], [labels[0]], plan, top_k=1)
    torch.testing.assert_close(found[:, 2:], labels[0][:, :-2])


@pytest.mark.parametrize("neighbourhood", ["square", "circle"])
def test_a_constant_label_stays(neighbourhood: Neighbourhood) -> None:
    query, context, _ = random_video(7, 3, 9, 8, labels=1)
    constant = torch.full((9, 8, 2), 0.25, dtype=torch.float64)
    plan = plan_windows(9, 8, radius=3, neighbourhood=neighbourhood)
    found = propagate_labels(query, list(context), [constant] * 3, plan)
    torch.testing.assert_close(found, constant)


def test_the_order_of_the_context_does_not_matter() -> None:
    query, context, labels = random_video(11, 3, 5, 5, labels=2)
    plan = plan_windows(5, 5, radius=2)
    forth = propagate_labels(query, list(context), list(labels), plan)
    back = propagate_labels(query, list(context)[::-1], list(labels)[::-1], plan)
    torch.testing.assert_close(forth, back)


@pytest.mark.data
@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_originals_numbers(golden: Path, index: int) -> None:
    with np.load(golden / "label_propagation.npz") as file:
        case = {k.split("/")[1]: file[k] for k in file.files if k.startswith(f"{index}/")}
    rows, cols = map(int, case["grid"])
    descriptors = [
        torch.nn.functional.normalize(torch.from_numpy(case[name]), dim=-1)
        for name in ("query_descriptors", "context_descriptors")
    ]
    labels = torch.from_numpy(case["context_labels"]).unflatten(1, (rows, cols))
    found = propagate_labels(
        descriptors[0].unflatten(0, (rows, cols)),
        list(descriptors[1].unflatten(1, (rows, cols))),
        list(labels),
        plan_windows(rows, cols, radius=int(case["radius"]), tile=5),
        top_k=int(case["top_k"]),
        temperature=float(case["temperature"]),
    )
    np.testing.assert_allclose(found.flatten(0, 1).numpy(), case["query_labels"], atol=1e-4)


def test_errors_say_what_came() -> None:
    query, context, labels = random_video(1, 2, 3, 4, labels=1)
    plan = plan_windows(3, 4, radius=1)
    frames, known = list(context), list(labels)
    with pytest.raises(ValueError, match=r"at least one context frame .* got 0 frames"):
        propagate_labels(query, [], [], plan)
    with pytest.raises(ValueError, match="labels for each; got 2 frames and 1 labels"):
        propagate_labels(query, frames, known[:1], plan)
    with pytest.raises(ValueError, match=r"grid of \(4, 4\) everywhere.*\(3, 4, 6\)"):
        propagate_labels(query, frames, known, plan_windows(4, 4, radius=1))
    with pytest.raises(ValueError, match=r"top_k >= 1 .* got top_k 0"):
        propagate_labels(query, frames, known, plan, top_k=0)
    with pytest.raises(ValueError, match=r"temperature > 0; .* temperature 0\.0"):
        propagate_labels(query, frames, known, plan, temperature=0.0)
    with pytest.raises(ValueError, match="got radius -1"):
        plan_windows(3, 4, radius=-1)
    with pytest.raises(ValueError, match=r"one of .*square.*circle.*got 'hexagon'"):
        plan_windows(3, 4, radius=1, neighbourhood="hexagon")  # type: ignore[arg-type]
