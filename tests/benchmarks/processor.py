"""Images a second on a processor, beside what people would run instead, on one model object.

    pip install --no-deps --target SITE dinotool einops transformers
    python tests/benchmarks/processor.py --dinotool SITE

DINOv2 ViT-S/14 at 224 x 224 pixels, stride 7, 961 patches. Contenders take turns, so that a
change in what else the machine does meets all of them; each figure is the median of its rounds
with quartiles, each ratio the median of the ratios within a round. Equal work: the same layer
and facet, on the same input tensor, without reading or writing files.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import peers
import timm
import torch
from machine import machine, own_peak

from tasks.model import resolve_precision
from tasks.ops.vit import FacetRequest, extract_facets

SIZE, STRIDE, SIDE = 224, 7, 31
OURS = "patchflow"


def main() -> None:
    args = arguments()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    precision = resolve_precision("auto", "cpu")
    print(json.dumps(machine("random") | {"default precision": precision}))
    peer = peers.at_stride(model(), STRIDE, SIDE)
    exact, default = model(), model().to(getattr(torch, precision))
    for batch in args.batches:
        images = torch.randn(batch, 3, SIZE, SIZE)
        compare(
            f"layer 11 key, batch {batch}",
            batch,
            max(3, args.rounds // batch),
            {
                OURS: ours(default, images, "key"),
                f"{OURS} in float32": ours(exact, images, "key"),
                "hooks, float32, fused attention": lambda im=images: peers.hooked_key(peer, im, 11),
                "hooks, float32, plain attention": lambda im=images: unfused(peer, im),
            },
        )
        normed = {
            OURS: ours(default, images, "normed_token"),
            f"{OURS} in float32": ours(exact, images, "normed_token"),
            "timm forward_intermediates": lambda im=images: peer.forward_intermediates(
                im, indices=[11], norm=True, intermediates_only=True
            ),
        }
        if args.dinotool:
            normed["dinotool"] = dinotool(peer, images, args.dinotool)
        compare(
            f"layer 11 normed token, batch {batch}", batch, max(3, args.rounds // batch), normed
        )
    print(f"peak host {own_peak() / 1e9:.2f} GB")


def model() -> Any:
    torch.manual_seed(0)
    name = "vit_small_patch14_dinov2"
    return timm.create_model(name, img_size=SIZE, num_classes=0).eval().requires_grad_(False)


def ours(module: Any, images: torch.Tensor, facet: Any) -> Callable[[], object]:
    request = FacetRequest(11, facet)
    ready = images.to(module.cls_token.dtype)
    return lambda: extract_facets(
        module, ready, [request], stride=(STRIDE, STRIDE), position_resize="dinov2"
    )


def unfused(module: Any, images: torch.Tensor) -> object:
    with peers.unfused_attention(module):
        return peers.hooked_key(module, images, 11)


def dinotool(module: Any, images: torch.Tensor, site: str) -> Callable[[], object]:
    """dinotool's own extractor around the same model, through the two names that it asks for."""
    sys.path.append(site)
    from dinotool.model import DinoFeatureExtractor

    class Adapter(torch.nn.Module):
        patch_size = 14

        def forward_features(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
            tokens = module.forward_features(batch)
            return {"x_norm_clstoken": tokens[:, 0], "x_norm_patchtokens": tokens[:, 1:]}

    extractor = DinoFeatureExtractor(Adapter(), device="cpu")
    # Its grid is that of the patch size; flattened features do not depend on it.
    return lambda: extractor(images, flattened=True, normalized=False)


def compare(what: str, batch: int, rounds: int, runs: dict[str, Callable[[], object]]) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    with torch.inference_mode():
        for run in runs.values():
            run()
        for _ in range(rounds):
            for name, run in runs.items():
                started = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - started)
    print(what)
    for name, taken in seconds.items():
        low, middle, high = batch / np.percentile(taken, [75, 50, 25])
        ratio = np.median(np.divide(taken, seconds[OURS]))
        print(
            f"  {name:34s} {middle:6.2f} images/s [{low:.2f}, {high:.2f}]"
            f"   {OURS} is {ratio:.2f} times as fast",
            flush=True,
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--dinotool", help="folder with dinotool and what it imports")
    return parser.parse_args()


if __name__ == "__main__":
    main()
