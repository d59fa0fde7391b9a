"""The GPU's kernels for log-bins by Triton's interpreter, and that a processor imports none."""

import json
import os
import subprocess
import sys

import pytest

INTERPRETED = """
import contextlib, json, sys, torch
from tasks.ops import gpu_bins, log_bin
torch.manual_seed(0)
# Channels beside a power of two; a hierarchy whose outer bins lie outside of so small a grid.
maps = torch.randn(2, 3, 2, 6)
expected = log_bin.log_bin(maps, 2)
imported = "triton" in sys.modules
torch.cuda.device = lambda _: contextlib.nullcontext()
gpu_bins.available = lambda _: True
error = (log_bin.log_bin(maps, 2) - expected).abs().max().item()
print(json.dumps([imported, "triton" in sys.modules, error]))
"""


def test_interpreted_kernels_bin_as_the_processor_does() -> None:
    pytest.importorskip("triton")
    done = subprocess.run(
        [sys.executable, "-c", INTERPRETED],
        env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    on_processor, on_gpu, error = json.loads(done.stdout)
    assert (on_processor, on_gpu) == (False, True)
    assert error < 1e-6
