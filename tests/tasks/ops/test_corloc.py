"""CorLoc against a literal count."""

import numpy as np
import pytest

from tasks.ops.corloc import TrueBoxes, corloc


def test_shares_by_hand() -> None:
    truths = [
        TrueBoxes(np.array([[0, 0, 10, 10], [20, 20, 30, 30]]), ("cat", "dog")),
        TrueBoxes(np.array([[0, 0, 10, 10]]), ("cat",)),
        TrueBoxes(np.array([[0, 0, 4, 4]]), ("dog",)),
        TrueBoxes(np.zeros((0, 4)), ()),
    ]
    predicted = [
        np.array([20, 20, 30, 28]),  # 0.8 with the dog, 0 with the cat
        np.array([0, 0, 10, 5]),  # exactly 0.5
        None,
        np.array([0, 0, 1, 1]),  # nothing labelled: left out
    ]
    found = corloc(predicted, truths)
    assert found.overall == pytest.approx(2 / 3)
    assert found.by_class == {"cat": 0.5, "dog": 0.5}
    assert found.count == 3
    np.testing.assert_allclose(found.ious, [0.8, 0.5, 0, 0])


def test_agrees_with_a_literal_loop() -> None:
    rng = np.random.default_rng(0)
    truths, predicted, hits = [], [], []
    for _ in range(60):
        corners = rng.integers(0, 20, (3, 2))
        boxes = np.concatenate([corners, corners + rng.integers(5, 20, (3, 2))], axis=1)
        box = boxes[0] + rng.integers(-4, 5, 4)
        best = 0.0
        for b in boxes:
            w = min(b[2], box[2]) - max(b[0], box[0])
            h = min(b[3], box[3]) - max(b[1], box[1])
            shared = max(w, 0) * max(h, 0)
            area = (b[2] - b[0]) * (b[3] - b[1]) + (box[2] - box[0]) * (box[3] - box[1]) - shared
            best = max(best, shared / area)
        truths.append(TrueBoxes(boxes, ("a", "b", "c")))
        predicted.append(box)
        hits.append(best >= 0.5)
    assert corloc(predicted, truths).hits.tolist() == hits


def test_errors() -> None:
    with pytest.raises(ValueError, match="one prediction for each of 1 labelled images; got 0"):
        corloc([], [TrueBoxes(np.zeros((1, 4)), ("a",))])
    with pytest.raises(ValueError, match="at least one image with a labelled object"):
        corloc([None], [TrueBoxes(np.zeros((0, 4)), ())])
    with pytest.raises(ValueError, match=r"for each of 1 names; got boxes of shape \(2, 4\)"):
        TrueBoxes(np.zeros((2, 4)), ("a",))
