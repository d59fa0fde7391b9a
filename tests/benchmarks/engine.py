"""Images a second of the extraction engine on the device at hand, and the floor beside it.

    python tests/benchmarks/engine.py --model vit_small_patch8_224.dino --stride 4 --batch 64

Weights are random: the rate does not depend on them, the cosine to float32 does and is
measured on real weights by `tests/tasks/test_describe.py`. Rules: warm-up, synchronised
device, median and quartiles over rounds, hardware and versions printed.
"""

import argparse
import contextlib
import json
import platform
import subprocess
import time
from collections.abc import Callable, Iterator

import numpy as np
import timm
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from tasks.ops.vit import FacetRequest, extract_facets


def main() -> None:
    args = arguments()
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    device = torch.device(args.device)
    model = timm.create_model(args.model.split(".")[0], num_classes=0).eval().to(device)
    model = model.to(getattr(torch, args.dtype))
    images = torch.randn(args.batch, 3, args.size, args.size, device=device, dtype=torch.float32)
    images = images.to(getattr(torch, args.dtype))
    print(json.dumps(machine(device) | vars(args)))
    for layer in args.layers:
        requests = [FacetRequest(layer, "key")]
        for mode in args.modes:
            run = compiled(model, requests, args, mode)
            with backend(mode):
                rates = measure(lambda run=run: run(images), args.batch, args.rounds, device)
            low, mid, high = np.percentile(rates, [25, 50, 75])
            print(
                f"layer {layer} {mode:28s} {mid:8.1f} images/s  [{low:.1f}, {high:.1f}]", flush=True
            )
    if device.type == "cuda":
        print(f"peak memory {torch.cuda.max_memory_allocated() / 1e9:.2f} GB")


def compiled(model, requests, args, mode: str) -> Callable[[torch.Tensor], object]:
    def run(images: torch.Tensor) -> torch.Tensor:
        found = extract_facets(
            model,
            images,
            requests,
            stride=(args.stride, args.stride),
            position_resize="dino",
            attention_layer=requests[0].layer if args.saliency else None,
        )
        return found.facets[requests[0]]

    if "compile" in mode:
        return torch.compile(run)
    if "autotune" in mode:
        return torch.compile(run, mode="max-autotune-no-cudagraphs")
    if "graphs" in mode:
        return torch.compile(run, mode="max-autotune")
    return run


@contextlib.contextmanager
def backend(mode: str) -> Iterator[None]:
    if "cudnn" in mode:
        with sdpa_kernel([SDPBackend.CUDNN_ATTENTION]):
            yield
    else:
        yield


def measure(
    run: Callable[[], object], count: int, rounds: int, device: torch.device
) -> list[float]:
    for _ in range(3):
        run()
    synchronise(device)
    rates = []
    for _ in range(rounds):
        started = time.perf_counter()
        for _ in range(3 if device.type == "cuda" else 1):
            run()
        synchronise(device)
        seconds = time.perf_counter() - started
        rates.append(count * (3 if device.type == "cuda" else 1) / seconds)
    return rates


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def machine(device: torch.device) -> dict[str, str]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "hardware": name,
        "torch": torch.__version__,
        "timm": timm.__version__,
        "commit": commit,
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="vit_small_patch8_224")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--stride", type=int, default=4)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--layers", type=int, nargs="+", default=[11, 9])
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--saliency", action="store_true")
    parser.add_argument("--modes", nargs="+", default=["eager", "compile", "cudnn-compile"])
    return parser.parse_args()


if __name__ == "__main__":
    main()
