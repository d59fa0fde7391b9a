"""The GPU's kernel for windows: by Triton's interpreter everywhere, on a GPU where there is one."""

import json
import os
import subprocess
import sys

import pytest
import torch

from tasks.ops import label_nearest
from tasks.ops.label_propagation import plan_windows, propagate_labels

# (rows, cols, D, frames, reach, neighbourhood, top_k): tiles cut off at the rim, channels beyond
# one step, a window with fewer patches than are kept.
CASES = [
    (9, 11, 20, 2, (2, 3), "circle", 5),
    (5, 6, 140, 3, (1, 9), "square", 3),
    (2, 2, 16, 1, (1, 1), "square", 7),
]
INTERPRETED = f"""
import contextlib, json, torch
from tasks.ops import label_nearest
from tasks.ops.label_propagation import plan_windows, propagate_labels
torch.cuda.device = lambda _: contextlib.nullcontext()
torch.manual_seed(0)
errors = []
for rows, cols, channels, frames, reach, neighbourhood, top_k in {CASES}:
    units = torch.nn.functional.normalize(torch.randn(1 + frames, rows, cols, channels), dim=-1)
    units = units.half()
    labels = list(torch.rand(frames, rows, cols, 3))
    plan = plan_windows(rows, cols, radius=reach, neighbourhood=neighbourhood)
    label_nearest.fits = lambda *_: False
    full = [u.float() for u in units]
    expected = propagate_labels(full[0], full[1:], labels, plan, top_k=top_k)
    label_nearest.fits = lambda *_: True
    found = propagate_labels(units[0], list(units[1:]), labels, plan, top_k=top_k)
    errors.append((found - expected).abs().max().item())
print(json.dumps(errors))
"""


def test_interpreted_kernel_carries_the_labels_of_the_plain_way() -> None:
    pytest.importorskip("triton")
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    run = subprocess.run(
        [sys.executable, "-c", INTERPRETED],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    errors = json.loads(run.stdout)
    assert len(errors) == len(CASES)
    assert max(errors) < 1e-5


def test_only_half_precision_on_a_gpu_is_taken() -> None:
    assert not label_nearest.fits(torch.zeros(2, 2, 8), 5)
    assert not label_nearest.fits(torch.zeros(2, 2, 8, dtype=torch.float16), 5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("neighbourhood", ["square", "circle"])
@pytest.mark.parametrize("channels", [128, 384])
def test_kernel_on_a_gpu_carries_the_labels_of_the_plain_way(
    neighbourhood: str, channels: int
) -> None:
    generator = torch.Generator().manual_seed(channels)
    units = torch.randn((9, 30, 53, channels), generator=generator)
    units = torch.nn.functional.normalize(units, dim=-1).half()
    labels = torch.rand((8, 30, 53, 12), generator=generator)
    plan = plan_windows(30, 53, radius=12, neighbourhood=neighbourhood)  # type: ignore[arg-type]
    full = units.float()
    expected = propagate_labels(full[0], list(full[1:]), list(labels), plan)
    on_gpu = units.cuda()
    assert label_nearest.fits(on_gpu[0], 5)
    found = propagate_labels(on_gpu[0], list(on_gpu[1:]), list(labels.cuda()), plan)
    different = (found.cpu() - expected).abs().amax(dim=-1) > 1e-4
    assert different.float().mean() < 1e-3  # the sixth patch as near as the fifth, in float32
