"""Images a second of the extraction engine on a GPU, beside what people would run instead.

    python tests/benchmarks/engine.py --out engine.json
    python tests/benchmarks/engine.py --device cpu --size 64 --batch 2 --rounds 1   # does it run

Random weights: the rate does not depend on them; `numerics.py` measures on real ones. Each line
is the median over rounds with quartiles; a round is several batches handed over one after the
other, the device synchronised at both ends. The floor is counted from the card's own rates:
8192^3 products in bfloat16, and this attention kernel alone.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peers
import timm
import torch
from machine import machine, own_peak
from torch.nn import functional as F

from tasks.ops.attention import attention
from tasks.ops.log_bin import log_bin
from tasks.ops.quantise import quantise_batch
from tasks.ops.vit import FacetRequest, extract_facets

HALF = torch.bfloat16


class Bench:
    """Measures, prints and keeps."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.device = torch.device(args.device)
        self.kept: dict[str, Any] = machine("random", args.device) | vars(args)
        print(json.dumps(self.kept))

    def rate(self, name: str, run: Callable[[], object], images: int, each: int = 4) -> float:
        """Median images a second."""
        with torch.inference_mode():
            for _ in range(3):
                run()
            rates = []
            for _ in range(self.args.rounds):
                peers.synchronise(self.device)
                started = time.perf_counter()
                for _ in range(each):
                    run()
                peers.synchronise(self.device)
                rates.append(images * each / (time.perf_counter() - started))
        low, middle, high = (round(float(q), 2) for q in np.percentile(rates, [25, 50, 75]))
        self.keep(name, [middle, low, high])
        return middle

    def keep(self, name: str, value: Any) -> None:
        """Print and write at once: a run that is cut off keeps what it has."""
        self.kept[name] = value
        print(f"{name:48s} {value}", flush=True)
        if self.args.out:
            Path(self.args.out).write_text(json.dumps(self.kept, indent=1))


def main() -> None:
    args = arguments()
    torch.manual_seed(0)
    bench = Bench(args)
    model = timm.create_model(args.model, num_classes=0).eval().requires_grad_(False)
    model = model.to(bench.device)
    half = timm.create_model(args.model, num_classes=0).eval().requires_grad_(False)
    half = half.to(bench.device, HALF)
    shape = (args.batch, 3, args.size, args.size)
    images = torch.randn(shape, device=bench.device).to(HALF)
    patch = half.patch_embed.patch_size[0]
    side = 1 + (args.size - patch) // args.stride
    floors(bench, half, side * side + half.num_prefix_tokens)
    engine(bench, half, images)
    if not args.no_peers:
        others(bench, model, images, side)
    memory(bench, half)


def floors(bench: Bench, model: Any, tokens: int) -> None:
    """Images a second that no version passes on this card: operations over measured rates."""
    side = 8192 if bench.device.type == "cuda" else 512
    a = torch.randn(side, side, device=bench.device, dtype=HALF)
    matmul = 2 * side**3 * bench.rate(f"products of {side} a second", lambda: a @ a, 1)
    torch.cuda.empty_cache()
    width, batch = model.embed_dim, bench.args.batch
    qkv = torch.randn(batch, tokens, 3, width // 64, 64, device=bench.device, dtype=HALF)
    heads = [part.transpose(1, 2) for part in qkv.unbind(2)]
    runs = bench.rate("attention alone, images x layers a second", lambda: attention(*heads), batch)
    work = 4.0 * tokens**2 * width
    bench.keep("TFLOP/s of products, of attention", [matmul / 1e12, runs * work / 1e12])
    pixels = 3 * model.patch_embed.patch_size[0] ** 2
    for layer in bench.args.layers:
        linear = 2.0 * tokens * width * (layer * 12 * width + width + pixels)
        bench.keep(f"floor, layer {layer} key", round(1 / (linear / matmul + layer / runs)))


def engine(bench: Bench, model: Any, images: torch.Tensor) -> None:
    args, count = bench.args, len(images)

    def facet(layer: int, attention_layer: int | None = None) -> torch.Tensor:
        request = FacetRequest(layer, "key")
        found = extract_facets(
            model,
            images,
            [request],
            stride=(args.stride, args.stride),
            position_resize="dino",
            attention_layer=attention_layer,
        )
        return found.facets[request]

    for layer in args.layers:
        bench.rate(f"engine, layer {layer} key", lambda layer=layer: facet(layer), count)
    last = args.layers[0]
    bench.rate(f"engine, layer {last} key and saliency", lambda: facet(last, last), count)
    bench.rate(
        f"engine, layer {last} key and saliency, as int8",
        lambda: quantise_batch(facet(last, last)),
        count,
    )
    few = min(count, 16)
    for layer in args.layers:

        def binned(layer: int = layer) -> None:
            maps = facet(layer)
            for start in range(0, count, few):
                log_bin(maps[start : start + few], 2)

        bench.rate(f"engine, layer {layer} key, log-binned", binned, count)


def others(bench: Bench, model: Any, images: torch.Tensor, side: int) -> None:
    """The same layer from the same model by other code; all have fused attention but the first."""
    args, one = bench.args, images[:1].float()
    few = min(len(images), 16)
    last = args.layers[0]
    strided = peers.at_stride(model, args.stride, side)
    with peers.unfused_attention(strided):
        bench.rate(
            "hooks, float32, plain attention, batch 1",
            lambda: peers.hooked_key(strided, one, last),
            1,
        )
    bench.rate("hooks, float32, batch 1", lambda: peers.hooked_key(strided, one, last), 1)
    bench.rate(
        f"timm forward_intermediates, float32, batch {few}",
        lambda: strided.forward_intermediates(
            images[:few].float(), indices=[last], intermediates_only=True
        ),
        few,
    )
    half = strided.to(HALF)
    forward = lambda: half.forward_intermediates(  # noqa: E731
        images, indices=[last], intermediates_only=True
    )
    bench.rate(f"timm forward_intermediates, bfloat16, batch {len(images)}", forward, len(images))
    if bench.device.type == "cuda":
        compiled = torch.compile(half.forward_features)
        bench.rate(
            f"timm through torch.compile, bfloat16, batch {len(images)}",
            lambda: compiled(images),
            len(images),
        )


def memory(bench: Bench, model: Any) -> None:
    """One large picture: attention over all pairs must never be there at once."""
    side = 1344 if bench.device.type == "cuda" else bench.args.size
    image = torch.randn(1, 3, side, side, device=bench.device, dtype=HALF)
    request = FacetRequest(bench.args.layers[0], "key")

    def run() -> None:
        found = extract_facets(
            model, image, [request], stride=(4, 4), attention_layer=request.layer
        )
        F.normalize(found.facets[request].float(), dim=-1)

    if bench.device.type == "cuda":
        torch.cuda.empty_cache()
        run()
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    run()
    peers.synchronise(bench.device)
    seconds = time.perf_counter() - started
    peak = torch.cuda.max_memory_allocated() if bench.device.type == "cuda" else own_peak()
    bench.keep(f"{side}x{side} at stride 4: seconds, peak GB", [round(seconds, 3), peak / 1e9])
    bench.keep("peak host GB", own_peak() / 1e9)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="vit_small_patch8_224")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--stride", type=int, default=4)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--layers", type=int, nargs="+", default=[11, 9])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--out", help="a JSON file that is written as the run goes on")
    return parser.parse_args()


if __name__ == "__main__":
    main()
