"""A long video, killed in the middle: bounded memory, and nothing done twice.

`python tests/drills/long_video.py [FRAMES] [--backwards]` (by default 10,000): a film of 64x48
pixels with a block that moves, its mask given for the first frame (or the last), a tiny model.
The run gets SIGKILL at 40 % of the masks; the next one must go on from there.
"""

import argparse
import hashlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 48, 64


def place(number: int) -> tuple[slice, slice]:
    """Where the block is: it goes round."""
    row = round(16 + 12 * np.sin(number / 40))
    col = round(24 + 20 * np.cos(number / 40))
    return slice(row, row + 16), slice(col, col + 16)


def pictures(count: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    ground = np.kron(rng.integers(0, 120, (6, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    thing = np.kron(rng.integers(130, 256, (4, 4, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    for number in range(count):
        picture = ground.copy()
        picture[place(number)] = thing
        yield picture


def propagate(film: str, masks: str, out: str) -> None:
    """In a process of its own: one clip, printing its peak of memory as it goes."""
    from tasks.propagate import ClipJob, propagate_clip
    from tasks.video_config import PropagateConfig

    def watch() -> None:
        while True:
            done = sum(1 for _ in Path(out, "masks").glob("*.png"))
            peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            print(f"{done} {peak}", flush=True)
            time.sleep(1)

    threading.Thread(target=watch, daemon=True).start()
    config = PropagateConfig(
        model="test_vit", weights="random", precision="float32", layer=2, also=(), stride=8,
        stride_x=None, size=96, channels=32, radius=4,
    )  # fmt: skip
    propagate_clip.fn(ClipJob("film", film, masks, out), config)
    print(f"{len(list(Path(out, 'masks').glob('*.png')))} "
          f"{1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}", flush=True)  # fmt: skip


def run(folder: Path, stop_at: int | None) -> tuple[list[tuple[int, int]], float]:
    """(masks, peak bytes) each second, and seconds; SIGKILL once `stop_at` masks are there."""
    places = [str(folder / name) for name in ("film.mp4", "masks", "out")]
    command = [sys.executable, __file__, "--child", *places]
    started = time.perf_counter()
    curve = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            done, peak = map(int, line.split())
            curve.append((done, peak))
            if stop_at is not None and done >= stop_at:
                process.send_signal(signal.SIGKILL)
                break
    return curve, time.perf_counter() - started


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def drill(count: int, backwards: bool) -> int:
    from storage.videos import write_mp4

    folder = Path(tempfile.mkdtemp(prefix="patchflow-long-"))
    try:
        write_mp4(str(folder / "film.mp4"), pictures(count))
        given = count - 1 if backwards else 0
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[place(given)] = 1
        (folder / "masks").mkdir()
        Image.fromarray(mask).save(folder / "masks" / f"{given:05d}.png")
        way = "backwards" if backwards else "forwards"
        curve, seconds = run(folder, int(0.4 * count))
        killed = {p.name: (p.stat().st_mtime_ns, digest(p)) for p in masks_of(folder)}
        print(f"{count} frames {way}: killed after {seconds:.0f} s with {len(killed)} masks")
        later, seconds = run(folder, None)
        found = masks_of(folder)
        again = [p for p in found if p.name in killed and p.stat().st_mtime_ns != killed[p.name][0]]
        other = [p.name for p in again if digest(p) != killed[p.name][1]]
        missed = count - len(found)
        print(f"  next run {seconds:.0f} s: {missed} masks missing, {len(again)} done again")
        print(f"  {len(other)} of those differ")
        for name, peaks in (("first", curve), ("next", later)):
            quarter = [next(p for d, p in peaks if d >= f * peaks[-1][0]) for f in (0.25, 0.5, 1)]
            text = ", ".join(f"{p / 1e6:.0f}" for p in quarter)
            print(f"  peak of the {name} run at a quarter, half and all of its masks: {text} MB")
        return missed + len(other)
    finally:
        shutil.rmtree(folder)


def masks_of(folder: Path) -> list[Path]:
    return sorted((folder / "out" / "masks").glob("*.png"))


if __name__ == "__main__":
    if "--child" in sys.argv:
        propagate(*sys.argv[2:])
    else:
        parser = argparse.ArgumentParser(description=__doc__)
        parser.add_argument("frames", type=int, nargs="?", default=10_000)
        parser.add_argument("--backwards", action="store_true")
        given = parser.parse_args()
        sys.exit(drill(given.frames, given.backwards))
