"""What a run ran on, in words: for the record of measured numbers."""

import os
import platform
from pathlib import Path

import torch


def describe_machine() -> str:
    """Processor, cores, memory and GPUs, e.g. ``Intel Xeon, 2 cores, 24 GiB``."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    parts = [_processor(), f"{os.cpu_count()} cores", f"{memory:.0f} GiB"]
    parts += [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return ", ".join(parts)


def _processor() -> str:
    """The processor's name where Linux tells it, else its architecture."""
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
