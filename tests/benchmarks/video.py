"""Frames a second of mask propagation: read, describe, propagate, decide and write, overlapped.

    python tests/benchmarks/video.py FRAMES MASK [--model NAME --weights FILE] [--truth FOLDER]

FRAMES: a folder of frames; MASK: an indexed PNG for the first of them. With --model, three ways
to use it: the default method on layers 4 and 6, on the last layer, and DINO's protocol; without,
the default settings with their own weights. Random weights leave a haze of labels over the whole
frame, which no real model does and which `decide` pays for: `patch8_weights.py` makes better
ones. Beside the whole, each stage alone, synchronised; the slowest bounds the whole. --truth:
masks by the frames' names, for the mean J of what came out.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import islice, repeat
from pathlib import Path

import numpy as np
import torch
from machine import machine, own_peak

from storage.files import join
from storage.results import read_indexed_png, write_indexed_png
from storage.videos import Clip, Frame, open_clip, read_frames
from tasks.clip_descriptors import describer_of, pixels_of
from tasks.clip_run import run_clip
from tasks.clip_state import ClipState
from tasks.given_masks import GivenMasks, read_given
from tasks.ops.davis_metrics import jaccard
from tasks.propagator import FrameMask, Propagator
from tasks.video_config import PropagateConfig


def main() -> None:
    args = arguments()
    clip = open_clip(args.frames)
    clip = replace(clip, images=clip.images[: args.count], count=args.count)
    given = read_given(args.mask, clip)
    for name, config in settings(args).items():
        print(json.dumps({"settings": name} | circumstances(config)), flush=True)
        whole(clip, given, config, args.rounds, args.truth)
        stages(clip, given, config)
    print(f"peak memory of the process {own_peak() / 1e9:.2f} GB", end="")
    if torch.cuda.is_available():
        print(f", of the GPU {torch.cuda.max_memory_allocated() / 1e9:.2f} GB", end="")
    print()


def settings(args: argparse.Namespace) -> dict[str, PropagateConfig]:
    """The default method at two depths and DINO's protocol, of one model."""
    if args.model is None:
        return {"default": PropagateConfig(device=args.device)}
    shared = {"model": args.model, "weights": args.weights, "device": args.device}
    patch = int(args.model.partition("patch")[2].partition("_")[0])
    protocol = {
        "layer": 11,
        "facet": "normed_token",
        "also": (),
        "stride_x": None,
        "multiple": 64,
        "channels": None,
        "recent": 7,
        "labels": "patch",
        "refinement": "none",
    }
    return {
        "default method": PropagateConfig(**shared, stride=patch, stride_x=None),
        "default method, layer 11": PropagateConfig(
            **shared, stride=patch, stride_x=None, layer=11, also=()
        ),
        "DINO's protocol": PropagateConfig(**shared, stride=patch, **protocol),
    }


def whole(
    clip: Clip, given: GivenMasks, config: PropagateConfig, rounds: int, truth: str | None
) -> None:
    """Frames a second, files to files; the first round is the warm-up."""
    rates = []
    overlap = ""
    for number in range(rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "masks").mkdir()
            started = time.perf_counter()
            run_clip(clip, given, config, ClipState("bench"), folder, partial(write, folder))
            if number:
                rates.append(len(clip.images) / (time.perf_counter() - started))
            if truth is not None:
                overlap = f"  J {mean_jaccard(Path(folder, 'masks'), Path(truth)):.3f}"
    low, mid, high = np.percentile(rates, [25, 50, 75])
    print(f"  whole        {mid:8.2f} frames/s  [{low:.2f}, {high:.2f}]{overlap}", flush=True)


def mean_jaccard(found: Path, truth: Path) -> float:
    """Of all frames but the first and the last; any object."""
    names = sorted(path.name for path in found.iterdir())[1:-1]
    pairs = [[read_indexed_png(str(folder / n)) > 0 for folder in (found, truth)] for n in names]
    return float(np.mean([jaccard(*pair) for pair in pairs]))


def write(folder: str, frame: Frame, found: FrameMask) -> None:
    palette = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    write_indexed_png(join(folder, "masks", f"{frame.name}.png"), found.labels, palette)


def stages(clip: Clip, given: GivenMasks, config: PropagateConfig) -> None:
    """Milliseconds a frame of each stage alone, with a full memory of recent frames."""
    frame = next(read_frames(clip))
    way = Propagator(config, describer_of(config, clip, frame), given.numbers)
    descriptors = way.describe([frame])[0]
    way.give(0, descriptors, next(iter(given.by_frame.values())))
    for index in range(1, config.recent + 1):
        tiles = way.follow(index, descriptors)
    report("read", lambda: next(read_frames(clip)))
    count = way.describer.together
    report("describe", lambda: way.describe([frame] * count), count)
    report("propagate", lambda: way.follow(1, descriptors))
    report("decide", lambda: way.decide(pixels_of(frame), tiles))


def report(name: str, run: Callable[[], object], frames: int = 1) -> None:
    times = [measured(run) / frames for _ in islice(repeat(None), 7)]
    low, mid, high = np.percentile(times[2:], [25, 50, 75])
    print(f"  {name:12s} {mid:8.1f} ms        [{low:.1f}, {high:.1f}]", flush=True)


def measured(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - started)


def circumstances(config: PropagateConfig) -> dict[str, object]:
    gpu = torch.cuda.is_available() and config.device != "cpu"
    return {"model": config.model} | machine(config.resolved_weights, "cuda" if gpu else "cpu")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frames")
    parser.add_argument("mask")
    parser.add_argument("--model")
    parser.add_argument("--weights", default="random")
    parser.add_argument("--truth")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--count", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
