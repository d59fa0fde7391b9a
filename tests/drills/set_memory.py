"""Peak memory and time of co-segmentation and parts over sets of few and of many images.

`python tests/drills/set_memory.py [COUNT ...]` (by default 256 and 1,000): each count in a
process of its own, default settings but a stride of 14, with pictures and report pages, on a
generated store of three facets (maps of 16x21x384) and pictures of 128x96 pixels: small, so that
the drill takes minutes, yet 744 maps that stayed in memory would be 380 MB. A set's object is
learnt from at most as many images as the smallest count (for 256, the default of
`sample_images`): memory must not grow from there on, and the exit status is 1 where it grows by
more than a tenth.
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

from flows.allocator import share_one_arena
from storage.descriptors import ArraySpec, DescriptorStore
from storage.planning import plan_partitions
from storage.sources import ImageRef
from tasks.parts_config import PartsConfig
from tasks.sets import ImageSet

SIZE, GRID, CHANNELS, KINDS, STRIDE = (128, 96), (16, 21), 384, 12, 14


def image_names(count: int) -> tuple[str, ...]:
    return tuple(f"{i:05d}.jpg" for i in range(count))


def write_set(folder: Path, count: int) -> None:
    """Pictures with a bright disc, and a store in which the disc's descriptors are alike."""
    config = PartsConfig(stride=STRIDE)
    rng = np.random.default_rng(0)
    specs = [
        ArraySpec(name, ("row", "col", "channel"), (*GRID, CHANNELS), "float16")
        for name in config.arrays
    ]
    specs.append(ArraySpec("saliency", ("row", "col"), GRID, "float32"))
    identity = config.identity() | {"patch": 14, "multiple": 14}
    store = DescriptorStore.create_or_open(str(folder / "store"), identity, {"sha256": "0"}, {})
    refs = [(ImageRef(n, str(folder / n), 1, "v1"), *SIZE, GRID) for n in image_names(count)]
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


def run(what: str, folder: Path, count: int, sample: int) -> None:
    """In a process of its own: print seconds, and peak bytes before and after one set."""
    from tasks.config import CosegmentConfig
    from tasks.cosegment import cosegment_set
    from tasks.parts import parts_set

    share_one_arena()  # as the commands do
    images = ImageSet("discs", image_names(count))
    store, out = str(folder / "store"), str(folder / what)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    if what == "cosegment":
        report = cosegment_set(
            store, images, out, CosegmentConfig(stride=STRIDE, sample_images=sample)
        )
    else:
        report = parts_set(store, images, out, PartsConfig(stride=STRIDE, sample_images=sample))
    seconds = time.perf_counter() - started
    if report.missing or report.masks != count:
        raise RuntimeError(f"{report.masks} masks of {count}, missing {report.missing[:3]}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps([seconds, before * 1024, peak * 1024]))


def alone(*arguments: str) -> str:
    """This file in another process; the last line that it printed."""
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return (done.stdout.splitlines() or [""])[-1]


def main(counts: list[int]) -> int:
    peaks: dict[str, dict[int, int]] = {"cosegment": {}, "parts": {}}
    sample = str(min(counts))
    print(f"{'':10} {'images':>7} {'seconds':>8} {'before MB':>10} {'peak MB':>8}")
    for count in counts:
        with tempfile.TemporaryDirectory(prefix="patchflow-set-") as folder:
            alone("--write", folder, str(count))
            for what, found in peaks.items():
                seconds, before, peak = json.loads(alone("--run", what, folder, str(count), sample))
                memory = f"{before / 1e6:>10.0f} {peak / 1e6:>8.0f}"
                print(f"{what:10} {count:>7} {seconds:>8.1f} {memory}", flush=True)
                found[count] = peak
    return int(any(max(found.values()) > 1.1 * found[min(counts)] for found in peaks.values()))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        write_set(Path(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1:2] == ["--run"]:
        run(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
    else:
        sys.exit(main([int(text) for text in sys.argv[1:]] or [256, 1000]))
