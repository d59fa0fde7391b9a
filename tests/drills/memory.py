"""Peak memory of `extract` for few and for many images, against what the plan projects.

`python tests/drills/memory.py [COUNT ...]` (by default 200 and 2,000): each count in a process of
its own, with a tiny model on generated pictures of 320x240 pixels.
"""

import json
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image


def write_pictures(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    low = rng.integers(0, 256, (8, 12, 16, 3), dtype=np.uint8)
    for number in range(count):
        picture = Image.fromarray(low[number % 8]).resize((320, 240), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number:05d}.jpg")


def extract(folder: str, store: str) -> None:
    from storage.descriptors import DescriptorStore
    from storage.images import list_images
    from tasks.config import ExtractConfig
    from tasks.extract import write_partition
    from tasks.forecast import forecast
    from tasks.plan import plan_extraction

    config = ExtractConfig(
        model="test_vit", weights="random", layer=3, facet="key", stride=4, size=128,
        precision="float32", partition_size=64,
    )  # fmt: skip
    told = forecast(folder, store, config)
    plan = plan_extraction(list_images(folder), folder, store, config)
    for partition in plan.partitions:
        write_partition(DescriptorStore.open(store), partition, plan.config)
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps((len(DescriptorStore.open(store).index()), peak, told.memory)))


def measure(count: int) -> tuple[int, int, int]:
    """Images stored, peak bytes, projected bytes."""
    folder = Path(tempfile.mkdtemp(prefix="patchflow-memory-"))
    try:
        (folder / "pictures").mkdir()
        write_pictures(folder / "pictures", count)
        command = [sys.executable, __file__, "--extract"]
        places = [str(folder / "pictures"), str(folder / "store")]
        out = subprocess.run([*command, *places], check=True, capture_output=True, text=True)
        stored, peak, told = json.loads(out.stdout.splitlines()[-1])
        return stored, peak, told
    finally:
        shutil.rmtree(folder)


def main(counts: list[int]) -> int:
    print(f"{'images':>7} {'peak MB':>8} {'projected MB':>13}")
    peaks: list[int] = []
    kept = True
    for count in counts:
        stored, peak, told = measure(count)
        kept &= stored == count and peak <= told
        peaks.append(peak)
        print(f"{stored:>7} {peak / 1e6:>8.0f} {told / 1e6:>13.0f}", flush=True)
    growth = (max(peaks) - peaks[0]) / 1e6
    print(f"growth from {counts[0]} to {counts[-1]} images: {growth:.0f} MB")
    return int(not kept)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--extract"]:
        extract(sys.argv[2], sys.argv[3])
    else:
        sys.exit(main([int(text) for text in sys.argv[1:]] or [200, 2000]))
