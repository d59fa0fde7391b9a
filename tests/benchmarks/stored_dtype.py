"""What a smaller store costs in accuracy.

`python tests/benchmarks/stored_dtype.py DATA OUT [LIMIT]`: PCK on DATA/PF-WILLOW and Jaccard on
DATA/PASCAL-coseg (the first LIMIT images of a class; 0 for none) with the same descriptors
stored as float16, int8 and along fewer principal axes, beside the bytes of a 56x56x384 map,
measured on disk. Everything goes through a real store and the program's own evaluation.
"""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from machine import machine

from storage.bases import Basis, write_basis
from storage.descriptors import DescriptorStore
from storage.images import ImageRef
from tasks.axes import bases_of
from tasks.config import CosegmentConfig, ExtractConfig
from tasks.describe import grid_of, model_of
from tasks.extract import array_specs, write_partition
from tasks.ops.pca import fit_axes
from tasks.ops.similarity import point_maps
from tasks.ops.transfer import locate
from tasks.pack import pack
from tasks.plan import plan_extraction

VARIANTS: dict[str, dict[str, object]] = {
    "float16": {"dtype": "float16"},
    "int8": {"dtype": "int8"},
    "pca 192, int8": {"pca": 192, "dtype": "int8"},
    "pca 96, int8": {"pca": 96, "dtype": "int8"},
}


def store_of(images: list[ImageRef], out: str, config: ExtractConfig) -> DescriptorStore:
    """A store of these images, computed."""
    plan = plan_extraction(images, "benchmark", out, config)
    for partition in plan.partitions:
        write_partition(DescriptorStore.open(out), partition, plan.config)
    return DescriptorStore.open(out)


def repacked(base: DescriptorStore, out: str, config: ExtractConfig) -> DescriptorStore:
    """The images of a float16 store as other settings store them, without computing them again."""
    index = base.index()
    refs = [ImageRef(i.name, i.url, i.bytes, i.version) for i in index.images.values()]
    config = config.replace(precision=base.info.config["precision"])
    plan = plan_extraction(refs, "benchmark", out, config)
    store = DescriptorStore.open(out)
    if config.pca is not None:
        for name in config.arrays:
            chosen = refs[:: max(1, len(refs) // 24)]
            sample = np.concatenate(
                [base.read(ref.name, name).reshape(-1, 384)[::5] for ref in chosen]
            )
            fitted = fit_axes(sample, config.pca)
            print(f"  {name}: {config.pca} axes explain {fitted.explained.sum():.4f}", flush=True)
            basis = Basis(fitted.axes, fitted.explained, fitted.variance, len(chosen), len(sample))
            write_basis(out, basis, name)
    bases = bases_of(out, config)
    for partition in plan.partitions:
        writer = store.begin(partition, array_specs(config, model_of(config), partition.grid))
        for image in partition.images:
            found = index[image.ref.name]
            names = {spec.name for spec in index.partitions[found.partition].arrays}
            arrays = {name: base.read(image.ref.name, name) for name in names}
            for array in config.arrays:
                values = torch.from_numpy(arrays[array])[None]
                axes = bases[array].axes if array in bases else None
                packed = pack(array, values, config, axes)
                arrays |= {name: tensor[0].numpy() for name, tensor in packed.items()}
            if "cls" in arrays:
                arrays["cls"] = arrays["cls"].astype(config.computed_dtype)
            writer.append(image.ref, found.width, found.height, arrays)
        writer.commit()
    return DescriptorStore.open(out)


def read_pairs(root: Path) -> list[dict[str, str]]:
    with (root / "test_pairs.csv").open() as file:
        return list(csv.DictReader(file))


def points(pair: dict[str, str], image: str) -> np.ndarray:
    x, y = ([float(pair[f"{axis}{image}{i}"]) for i in range(1, 11)] for axis in "XY")
    # The files count pixels from 1, at their centres.
    return np.stack([x, y], axis=-1) - 0.5


def pck(store: DescriptorStore, pairs: list[dict[str, str]], config: ExtractConfig) -> list[float]:
    """PCK at 0.1 and 0.05 of the target keypoints' box, pooled over points."""
    patch = model_of(config).patch
    errors: list[np.ndarray] = []
    for pair in pairs:
        source, target = (store.find(pair[f"image{side}"]) for side in "AB")
        grids = [grid_of(config, patch, image.width, image.height) for image in (source, target)]
        maps = [
            torch.from_numpy(store.read(image.name).astype(np.float32))
            for image in (source, target)
        ]
        start = torch.from_numpy(
            grids[0].to_row_col(points(pair, "A")).astype(np.float32, order="C")
        )
        found = locate(point_maps(maps[0], maps[1], start, 3), window=2, temperature=0.02)
        truth = points(pair, "B")
        miss = np.linalg.norm(grids[1].to_xy(found.row_col.numpy()) - truth, axis=-1)
        errors.append(miss / (truth.max(0) - truth.min(0)).max())
    pooled = np.concatenate(errors)
    return [float(100 * (pooled <= alpha).mean()) for alpha in (0.1, 0.05)]


def map_bytes(store: DescriptorStore, pca: int | None) -> float:
    """Bytes on disk that a map of 56x56 patches of 384 channels comes to."""
    files = (Path(store.url) / "partitions").glob("*/*/descriptors/c/**/*")
    total = sum(file.stat().st_size for file in files if file.is_file())
    numbers = sum(
        image.grid[0] * image.grid[1] * (pca or 384) for image in store.index().images.values()
    )
    return total / numbers * 56 * 56 * (pca or 384) + 4 * (pca or 384)


def jaccard(data: Path, out: Path, options: list[str], limit: str) -> float:
    command = [sys.executable, "-c", "from flows.cli import main; main()", "evaluate"]
    command += ["pascal-coseg", str(data / "PASCAL-coseg"), str(out), "--limit", limit, *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    scores = json.loads((out / "metrics.json").read_text())["scores"]
    return 100 * float(scores["jaccard"])


def main(data: Path, out: Path, limit: str) -> None:
    torch.set_num_threads(1)
    print(json.dumps(machine(ExtractConfig().resolved_weights) | {"limit": limit}))
    root = data / "PF-WILLOW"
    pairs = read_pairs(root)
    names = sorted({pair[f"image{side}"] for pair in pairs for side in "AB"})
    refs = [ImageRef(name, str(root / name), (root / name).stat().st_size, "1") for name in names]
    base = store_of(refs, str(out / "float16" / "willow"), ExtractConfig(dtype="float16"))
    print(f"{'stored as':<18} {'MB a map':>9} {'PCK@0.1':>8} {'PCK@0.05':>9} {'Jaccard':>8}")
    for name, settings in VARIANTS.items():
        folder = out / name.replace(" ", "-").replace(",", "")
        config = ExtractConfig(**settings)
        whole = name == "float16"
        store = base if whole else repacked(base, str(folder / "willow"), config)
        scores = pck(store, pairs, config)
        coseg = folder / "coseg"
        if not whole and limit != "0":
            first = DescriptorStore.open(str(out / "float16" / "coseg" / "store"))
            repacked(first, str(coseg / "store"), CosegmentConfig(**settings).extraction())
        options = [text for key, value in settings.items() for text in (f"--{key}", str(value))]
        found = jaccard(data, coseg, options, limit) if limit != "0" else float("nan")
        size = map_bytes(store, config.pca) / 1e6
        print(
            f"{name:<18} {size:>9.3f} {scores[0]:>8.2f} {scores[1]:>9.2f} {found:>8.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "20")
