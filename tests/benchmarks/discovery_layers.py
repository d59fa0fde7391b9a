"""Does the rule of `--auto-layer` rank layers and facets as labelled boxes do?

    python tests/benchmarks/discovery_layers.py DATA/VOC2007 --step 4

For every candidate: its mean worth, seen without a label, and the CorLoc of TokenCut on it.
"""

import argparse
import json

import numpy as np
from machine import machine
from scipy.stats import spearmanr

from storage.images import ImageRef, read_image
from tasks.benchmarks.discovery import load_voc
from tasks.describe import describe
from tasks.discover_config import DiscoverConfig
from tasks.discover_layer import candidates
from tasks.ops.boxes import grid_box_xyxy
from tasks.ops.corloc import corloc
from tasks.ops.cut_quality import cut_quality
from tasks.ops.token_cut import token_cut


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", help="VOC2007 in its official layout")
    parser.add_argument("--step", type=int, default=4, help="use every n-th image")
    parser.add_argument("--model", default=DiscoverConfig().model)
    args = parser.parse_args()
    chosen = load_voc(args.root)
    names = chosen.names[:: args.step]
    wide = candidates(DiscoverConfig(model=args.model))
    print(json.dumps(machine(wide.resolved_weights) | {"images": len(names)}))
    worth = {name: [] for name in wide.arrays}
    boxes = {name: [] for name in wide.arrays}
    for image in names:
        picture = read_image(ImageRef(image, f"{chosen.images}/{image}", 0, ""))
        (found,) = describe([picture], wide)
        saliency = found.arrays["saliency"][None]
        for name in wide.arrays:
            values = found.arrays[name][None].astype(np.float32)
            worth[name].append(cut_quality(values, saliency)[0].worth)
            (cut,) = token_cut(values, saliency, by_saliency=True)
            boxes[name].append(grid_box_xyxy(cut.masks[0], found.grid) if cut.found else None)
    truths = [chosen.truths[image] for image in names]
    rows = [
        (float(np.mean(worth[name])), 100 * corloc(boxes[name], truths).overall, request)
        for name, request in wide.arrays.items()
    ]
    for value, score, request in sorted(rows, reverse=True):
        print(f"layer {request.layer:2d} {request.facet:6s} worth {value:.3f} CorLoc {score:.1f}")
    rank = spearmanr([row[0] for row in rows], [row[1] for row in rows]).statistic
    best = max(rows)
    print(
        f"{len(names)} images; rank correlation {rank:.2f}; the rule's choice scores "
        f"{best[1]:.1f}, the best candidate {max(row[1] for row in rows):.1f}"
    )


if __name__ == "__main__":
    main()
