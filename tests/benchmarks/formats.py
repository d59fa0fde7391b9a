"""What storing descriptors costs here, in one .npz file an image, and in one HDF5 file.

    pip install --no-deps --target SITE h5py
    python tests/benchmarks/formats.py WORK [--images 256] [--rounds 5] [--site SITE]

The same maps of 31 x 31 patches and 384 channels, as int8 with a scale for each channel as the
store holds them by default. Written from memory, then read back image by image in an order of
its own, from the page cache; formats take turns, median of the rounds with quartiles. Only the
store keeps digests and checksums, knows where each image came from and can be appended to by many
writers at a time.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from machine import machine, own_peak

from storage.descriptors import ArraySpec, DescriptorStore
from storage.planning import plan_partitions
from storage.refs import ImageRef

GRID, CHANNELS = (31, 31), 384


def main() -> None:
    args = arguments()
    work = Path(args.work)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    rng = np.random.default_rng(0)
    # About as many bits of entropy as quantised descriptors of photographs have.
    normal = rng.normal(0, 24, (args.images, *GRID, CHANNELS))
    maps = np.rint(normal).clip(-63, 63).astype(np.int8)
    scales = rng.random((args.images, CHANNELS), dtype=np.float32)
    order = rng.permutation(args.images)
    raw = maps.nbytes + scales.nbytes
    print(json.dumps(machine("none") | {"images": args.images, "MB": raw / 1e6}))
    kinds: dict[str, Callable[[], tuple[Callable[[], None], Callable[[int], np.ndarray]]]] = {
        "store": lambda: store(work / "store", maps, scales),
        ".npz, plain": lambda: npz(work / "plain", maps, scales, np.savez),
        ".npz, compressed": lambda: npz(work / "deflate", maps, scales, np.savez_compressed),
    }
    if args.site:
        sys.path.append(args.site)
        kinds["HDF5, plain"] = lambda: hdf5(work / "plain.h5", maps, scales, {})
        gzip = {"compression": "gzip", "compression_opts": 1, "shuffle": True, "fletcher32": True}
        kinds["HDF5, gzip and checksums"] = lambda: hdf5(work / "gzip.h5", maps, scales, gzip)
    taken: dict[str, list[tuple[float, float, int]]] = {name: [] for name in kinds}
    for _ in range(args.rounds):
        for name, make in kinds.items():
            taken[name].append(timed(*make(), maps, order, work))
            for entry in work.iterdir():
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    for name, found in taken.items():
        writes, reads, sizes = np.array(found).T
        rates = [np.percentile(raw / seconds / 1e6, [50, 25, 75]) for seconds in (writes, reads)]
        write, read = ("{:.0f} MB/s [{:.0f}, {:.0f}]".format(*rate) for rate in rates)
        each = 1000 * np.median(reads) / args.images
        print(
            f"{name:26s} write {write}, read {read}, {each:.2f} ms an image, "
            f"{np.median(sizes) / raw:.2f} of the bytes"
        )
    print(f"peak host {own_peak() / 1e9:.2f} GB")


def timed(
    write: Callable[[], None],
    read: Callable[[int], np.ndarray],
    maps: np.ndarray,
    order: np.ndarray,
    work: Path,
) -> tuple[float, float, int]:
    """Seconds of writing, seconds of reading image by image, bytes on disk."""
    started = time.perf_counter()
    write()
    written = time.perf_counter()
    for i in order:
        if not np.array_equal(read(int(i)), maps[i]):
            raise SystemExit(f"image {i} came back changed")
    done = time.perf_counter()
    size = sum(file.stat().st_size for file in work.rglob("*") if file.is_file())
    return written - started, done - written, size


def store(
    folder: Path, maps: np.ndarray, scales: np.ndarray
) -> tuple[Callable[[], None], Callable[[int], np.ndarray]]:
    opened = DescriptorStore.create_or_open(str(folder), {}, {}, {})
    names = [f"{i:06d}" for i in range(len(maps))]
    refs = [ImageRef(name, f"/photos/{name}", 1, "v") for name in names]
    specs = [
        ArraySpec("descriptors", ("row", "col", "channel"), (*GRID, CHANNELS), "int8"),
        ArraySpec("descriptors_scale", ("channel",), (CHANNELS,), "float32"),
    ]
    parts = plan_partitions([(ref, 500, 375, GRID) for ref in refs], opened.index(), "config", 256)

    def write() -> None:
        for part in parts:
            writer = opened.begin(part, specs)
            for image in part.images:
                i = int(image.ref.name)
                arrays = {"descriptors": maps[i], "descriptors_scale": scales[i]}
                writer.append(image.ref, 500, 375, arrays)
            writer.commit()
        opened.refresh()

    return write, lambda i: opened.read(names[i], raw=True)


def npz(
    folder: Path, maps: np.ndarray, scales: np.ndarray, save: Callable[..., None]
) -> tuple[Callable[[], None], Callable[[int], np.ndarray]]:
    folder.mkdir()

    def write() -> None:
        for i in range(len(maps)):
            save(folder / f"{i:06d}.npz", descriptors=maps[i], scale=scales[i])

    def read(i: int) -> np.ndarray:
        with np.load(folder / f"{i:06d}.npz") as file:
            return file["descriptors"]

    return write, read


def hdf5(
    file: Path, maps: np.ndarray, scales: np.ndarray, filters: dict[str, object]
) -> tuple[Callable[[], None], Callable[[int], np.ndarray]]:
    import h5py

    def write() -> None:
        with h5py.File(file, "w") as out:
            array = out.create_dataset(
                "descriptors", maps.shape, "int8", chunks=(1, *maps.shape[1:]), **filters
            )
            out["scale"] = scales
            for i in range(len(maps)):
                array[i] = maps[i]

    opened: list[h5py.File] = []

    def read(i: int) -> np.ndarray:
        if not opened:
            opened.append(h5py.File(file, "r"))
        return opened[0]["descriptors"][i]

    return write, read


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--site", help="folder that has h5py, if the environment has not")
    return parser.parse_args()


if __name__ == "__main__":
    main()
