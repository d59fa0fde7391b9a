"""Peak memory and time of co-segmentation and parts over sets of few and of many images.

`python tests/drills/set_memory.py [COUNT ...]` (by default 250, 500 and 1,000): each count in a
process of its own, default settings, on a generated store of three facets and generated
pictures of 240x180 pixels. Beyond `sample_images` memory must not grow with the set; the exit
status is 1 where it grows by more than a tenth.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from storage.descriptors import ArraySpec, DescriptorStore
from storage.planning import plan_partitions
from storage.sources import ImageRef
from tasks.parts_config import PartsConfig
from tasks.sets import ImageSet

SIZE, GRID, CHANNELS, KINDS = (240, 180), (31, 41), 384, 12


def write_set(folder: Path, count: int) -> tuple[str, ImageSet]:
    """Pictures with a bright disc, and a store in which the disc's descriptors are alike."""
    config = PartsConfig()
    rng = np.random.default_rng(0)
    specs = [
        ArraySpec(name, ("row", "col", "channel"), (*GRID, CHANNELS), "float16")
        for name in config.arrays
    ]
    specs.append(ArraySpec("saliency", ("row", "col"), GRID, "float32"))
    identity = config.identity() | {"patch": 14, "multiple": 14}
    store = DescriptorStore.create_or_open(str(folder / "store"), identity, {"sha256": "0"}, {})
    names = [f"{i:05d}.jpg" for i in range(count)]
    refs = [(ImageRef(n, str(folder / n), 1, "v1"), *SIZE, GRID) for n in names]
    axes = rng.normal(size=(KINDS, CHANNELS))
    noise = 0.5 * rng.normal(size=(*GRID, CHANNELS))
    down, right = np.mgrid[: GRID[0], : GRID[1]] / GRID[0]
    y, x = np.mgrid[: SIZE[1], : SIZE[0]] / SIZE[1]
    for partition in plan_partitions(refs, store.index(), store.config_digest, 64):
        writer = store.begin(partition, specs)
        for image in partition.images:
            at = rng.uniform(0.3, 0.7), rng.uniform(0.3, 1.0)
            inside = np.hypot(down - at[0], right - at[1]) < 0.25
            picture = 40 * rng.random((SIZE[1], SIZE[0], 3))
            picture[np.hypot(y - at[0], x - at[1]) < 0.25] += 150
            Image.fromarray(picture.astype(np.uint8)).save(image.ref.url, quality=80)
            kind = np.where(
                inside, 2 * (down > at[0]) + (right > at[1]), 4 + rng.integers(KINDS - 4)
            )
            values = (axes[kind] + np.roll(noise, rng.integers(9), axis=0)).astype(np.float16)
            arrays = dict.fromkeys(config.arrays, values)
            saliency = np.where(inside, 0.6, 0.05).astype(np.float32)
            writer.append(image.ref, *SIZE, arrays | {"saliency": saliency})
        writer.commit()
    return str(folder / "store"), ImageSet("discs", tuple(names))


def run(what: str, count: int) -> None:
    """In a process of its own: print seconds and peak bytes of one set."""
    from tasks.config import CosegmentConfig
    from tasks.cosegment import cosegment_set
    from tasks.parts import parts_set

    with tempfile.TemporaryDirectory(prefix="patchflow-set-") as name:
        folder = Path(name)
        store, images = write_set(folder, count)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.perf_counter()
        if what == "cosegment":
            report = cosegment_set(store, images, str(folder / "out"), CosegmentConfig())
        else:
            report = parts_set(store, images, str(folder / "out"), PartsConfig())
        seconds = time.perf_counter() - started
        if report.missing or report.masks != count:
            raise RuntimeError(f"{report.masks} masks of {count}, missing {report.missing[:3]}")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps([seconds, before * 1024, peak * 1024]))


def main(counts: list[int]) -> int:
    grown = False
    print(f"{'':10} {'images':>7} {'seconds':>8} {'before MB':>10} {'peak MB':>8}")
    for what in ("cosegment", "parts"):
        peaks = []
        for count in counts:
            command = [sys.executable, __file__, "--run", what, str(count)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            seconds, before, peak = json.loads(done.stdout.splitlines()[-1])
            print(
                f"{what:10} {count:>7} {seconds:>8.1f} {before / 1e6:>10.0f} {peak / 1e6:>8.0f}",
                flush=True,
            )
            peaks.append(peak)
        large = [p for p, c in zip(peaks, counts, strict=True) if c >= PartsConfig().sample_images]
        grown |= len(large) > 1 and large[-1] > 1.1 * large[0]
    return int(grown)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        run(sys.argv[2], int(sys.argv[3]))
    else:
        sys.exit(main([int(text) for text in sys.argv[1:]] or [250, 500, 1000]))
