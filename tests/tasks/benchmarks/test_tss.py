"""TSS on tiny pairs in its official layout, scores by hand."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_tss import write_pair

from storage.images import ImageRef
from tasks.benchmarks.layout import LayoutError
from tasks.benchmarks.tss import FlowBenchmark, FlowScores, flow_scores, load, read_truth, score
from tasks.matching import View
from tasks.ops.flow import encode_flow
from tasks.ops.patch_grid import plan_grid


def read(root: Path, *subsets: str, limit: int | None = None) -> FlowBenchmark:
    found = load.fn(str(root), subsets, limit)
    assert isinstance(found, FlowBenchmark)
    return found


def test_pairs_of_the_subsets_are_found(tmp_path: Path) -> None:
    for name in ("JODS/b", "JODS/a", "PASCAL/c"):
        write_pair(tmp_path / name)
    (tmp_path / "Other").mkdir()
    found = read(tmp_path)
    assert [pair.name for pair in found.pairs] == ["JODS/a", "JODS/b", "PASCAL/c"]
    assert found.names[:2] == ("JODS/a/image1.png", "JODS/a/image2.png")
    assert [pair.name for pair in read(tmp_path, "JODS", limit=1).pairs] == ["JODS/a"]
    with pytest.raises(LayoutError, match="no subset FG3DCar; there are: JODS, PASCAL"):
        read(tmp_path, "FG3DCar")


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"no pairs. Expected folders FG3DCar, JODS, PASCAL"):
        read(tmp_path)
    write_pair(tmp_path / "JODS" / "a")
    (tmp_path / "JODS" / "a" / "flow2.flo").unlink()
    with pytest.raises(LayoutError, match=r"missing .*JODS/a/flow2.flo. Expected folders"):
        read(tmp_path)


def test_malformed_truth_is_named(tmp_path: Path) -> None:
    write_pair(tmp_path, width=40, height=20)
    grid = plan_grid(40, 20, patch=8, stride=(8, 8), size=40, fit="square")
    view = View("a", ImageRef("a", "a", 0, ""), grid, None, None)  # type: ignore[arg-type]
    truth = read_truth(str(tmp_path), 1, view)
    assert truth.shape == (20, 40, 2)
    assert np.isnan(truth[0]).all()  # off the mask
    (tmp_path / "flow1.flo").write_bytes(b"PIEH")
    with pytest.raises(LayoutError, match=r"flow1.flo is malformed: expected a .flo file"):
        read_truth(str(tmp_path), 1, view)
    Image.fromarray(np.ones((20, 39), np.uint8)).save(tmp_path / "mask2.png")
    with pytest.raises(LayoutError, match=r"of the 40x20 pixels of image2.png; got 40x20 and 39x2"):
        read_truth(str(tmp_path), 2, view)
    (tmp_path / "flow1.flo").write_bytes(encode_flow(np.full((20, 40, 2), np.nan)))
    with pytest.raises(LayoutError, match=r"no pixel of mask1.png has a known flow"):
        read_truth(str(tmp_path), 1, view)


def test_pixels_count_by_their_end_points() -> None:
    truth = np.full((10, 40, 2), np.nan)  # the longer side is 40: 2 pixels at 0.05, 4 at 0.10
    truth[0, :4] = 0
    found = np.zeros((10, 40, 2))
    found[0, :4, 0] = [0, 2, 3, 5]
    assert flow_scores(found, truth) == {"pck@0.05": 0.5, "pck@0.10": 0.75}


def test_means_over_pairs_and_over_subsets() -> None:
    pairs = [
        FlowScores("JODS/a", "JODS", {"pck@0.05": 0.2}),
        FlowScores("JODS/b", "JODS", {"pck@0.05": 0.4}),
        FlowScores("PASCAL/c", "PASCAL", {"pck@0.05": 0.9}),
    ]
    scores = score.fn(pairs[::-1], {"name": "w", "sha256": "0"})
    assert scores.scores == pytest.approx(
        {"pck@0.05": 0.5, "pck@0.05 mean over subsets": (0.3 + 0.9) / 2}
    )
    assert scores.by_category["JODS"] == pytest.approx({"pck@0.05": 0.3})
    assert list(scores.items) == ["JODS/a", "JODS/b", "PASCAL/c"]
