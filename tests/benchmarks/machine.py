"""What a figure is worth nothing without: hardware, versions, commit, weights, peak memory.

Imports neither torch nor timm: some benchmarks measure the memory of a process without them.
"""

import contextlib
import os
import platform
import re
import resource
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

__all__ = ["largest_peak", "machine", "own_peak"]


def machine(weights: str, device: str = "cpu") -> dict[str, Any]:
    """The first line of every benchmark.

    Args:
        weights: of the model that is run; ``none`` where descriptors are generated.
        device: what it runs on, ``cpu`` or ``cuda``.
    """
    return {
        "hardware": _gpu(device) if device.startswith("cuda") else _processor(),
        "cores": os.cpu_count(),
        "threads": sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "timm", "numpy")},
        "commit": _commit(),
        "weights": weights,
    }


def own_peak() -> int:
    """Peak resident bytes of this process alone; getrusage's is inherited from its starter."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0])


def largest_peak() -> int:
    """Peak resident bytes of this process or of one that it started and that has ended."""
    return max(own_peak(), 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


def _gpu(device: str) -> str:
    import torch

    return torch.cuda.get_device_name(device)


def _processor() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    """Of the checkout that this file lies in, ``-dirty`` where files differ from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"],
        cwd=Path(__file__).parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip() or "unknown"
