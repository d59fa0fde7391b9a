"""What a dry run foretells, and what the run then takes: three runs of different kinds.

    python tests/benchmarks/forecast.py PHOTOS WORK

PHOTOS: a folder of photographs, out of which pictures are cut. The machine should have nothing
else to do; the process is warm, as a worker is.
"""

import argparse
import json
import shutil
import time
from pathlib import Path

from machine import machine, own_peak
from PIL import Image
from store import cut

from storage.descriptors import DescriptorStore
from storage.images import list_images
from tasks.config import ExtractConfig
from tasks.extract import write_partition
from tasks.forecast import forecast
from tasks.plan import plan_extraction

KINDS = {
    "224 short, stride 14": (ExtractConfig(stride=14), 96),
    "224 square, stride 7": (ExtractConfig(stride=7, fit="square"), 32),
    "sizes as they are, stride 14": (ExtractConfig(stride=14, fit="native"), 24),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("work", type=Path)
    args = parser.parse_args()
    sources = [Image.open(file).convert("RGB") for file in sorted(args.photos.iterdir())]
    shutil.rmtree(args.work, ignore_errors=True)
    print(json.dumps(machine(ExtractConfig().resolved_weights)))
    for number, (name, (config, count)) in enumerate(KINDS.items()):
        folder = args.work / f"{number}"
        folder.mkdir(parents=True)
        for i in range(count):
            cut(sources[i % len(sources)], folder, i)
            if config.fit == "native" and i % 3:  # three sizes, three grids
                file = folder / f"{i:06d}.jpg"
                picture = Image.open(file)
                picture.resize((500 - 100 * (i % 3), 375)).save(file, quality=90)
        compare(name, str(folder), str(args.work / f"store{number}"), config)
    print(f"peak host {own_peak() / 1e9:.2f} GB")


def compare(name: str, folder: str, url: str, config: ExtractConfig) -> None:
    told = forecast(folder, url, config)
    plan = plan_extraction(list_images(folder), folder, url, config)
    store = DescriptorStore.open(url)
    started = time.perf_counter()
    for part in plan.partitions:
        write_partition(store, part, plan.config)
    seconds = time.perf_counter() - started
    size = sum(file.stat().st_size for file in Path(url).rglob("*") if file.is_file())
    assert told.seconds is not None
    print(
        f"{name:30s} foretold {told.seconds:6.2f} s, took {seconds:6.2f} s "
        f"({100 * (told.seconds / seconds - 1):+.0f} %); {told.bytes / 1e6:.1f} MB before "
        f"compression, {size / 1e6:.1f} MB on disk; {told.objects} objects",
        flush=True,
    )


if __name__ == "__main__":
    main()
