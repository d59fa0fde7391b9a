"""Does likeness tell sets that share an object from sets that do not?

    python tests/benchmarks/likeness.py DATA WORK [--rounds 2]

DATA holds PASCAL-coseg, PF-WILLOW and VOC2007; their descriptors, at default settings, are kept
in WORK and extracted once, and so is the likeness of every random set. The limit of the warning
was chosen on every other class of PASCAL-coseg: near the end of their sets of one kind. The rest
tells what it is worth.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from machine import machine
from sklearn.metrics import roc_auc_score

from flows.extract import extract
from storage.descriptors import DescriptorStore
from tasks.benchmarks.discovery import load_voc
from tasks.config import CosegmentConfig
from tasks.foreground import Sample, learn
from tasks.joined import join_facets
from tasks.ops.leading_axes import axes_of_maps
from tasks.ops.patch_grid import unit
from tasks.set_likeness import compared_array, likeness_limit

CONFIG = CosegmentConfig()
SOURCES = {"pascal": "PASCAL-coseg/images", "willow": "PF-WILLOW", "voc": "VOC2007/JPEGImages"}
UNLIKE = (  # kinds that PASCAL-coseg lacks here
    "voc bicycle",
    "voc boat",
    "voc motorbike",
    "willow car(S)",
    "willow duck(S)",
    "willow winebottle(wC)",
)
REPEATS = 5  # mixed sets of a round
FURTHER = 6  # times as many sets of one kind to choose on: the limit is at their end
SAME, MIXED, OTHER = "one kind", "no two of a kind", "between"

Image = tuple[str, str]  # store and name
Kinds = dict[str, list[Image]]
RandomSet = tuple[str, str, int, list[Image]]  # what it is, of what, size, images


def read_kinds(data: str, work: str) -> Kinds:
    """Images by kind; those of VOC2007 whose objects, people apart, are of one class."""
    kinds: Kinds = {}
    for store, folder in SOURCES.items():
        if not Path(work, store, "store.json").exists():
            extract(f"{data}/{folder}", f"{work}/{store}", CONFIG.extraction())
    for store in ("pascal", "willow"):
        for name in sorted(DescriptorStore.open(f"{work}/{store}").index()):
            kinds.setdefault(f"{store} {Path(name).parent.name}", []).append((store, name))
    for name, truth in sorted(load_voc(f"{data}/VOC2007").truths.items()):
        if len(found := set(truth.names) - {"person"}) == 1:
            kinds.setdefault(f"voc {found.pop()}", []).append(("voc", name))
    return {kind: images for kind, images in kinds.items() if len(images) >= 10}


class Draw:
    """Random sets of images by kind."""

    def __init__(self, kinds: Kinds, seed: int) -> None:
        self.kinds = kinds
        self.pascal = [kind for kind in kinds if kind.startswith("pascal")]
        self.chosen, self.rest = self.pascal[::2], self.pascal[1::2]
        self.others = [kind for kind in kinds if kind in UNLIKE]
        self.rng = np.random.default_rng(seed)

    def alike(self, kind: str, count: int) -> list[Image]:
        """Images of one kind."""
        chosen = self.rng.choice(len(self.kinds[kind]), count, replace=False)
        return [self.kinds[kind][i] for i in chosen]

    def mixed(self, kinds: Sequence[str], size: int) -> list[Image]:
        """Images of as many kinds."""
        return [self.alike(kinds[i], 1)[0] for i in self.rng.permutation(len(kinds))[:size]]

    def two(self, first: int, second: int) -> list[Image]:
        """Images of two kinds."""
        one, other = (self.pascal[i] for i in self.rng.permutation(len(self.pascal))[:2])
        return self.alike(one, first) + self.alike(other, second)


def random_sets(kinds: Kinds, rounds: int) -> Iterator[RandomSet]:
    """The sets of every group."""
    draw, further = Draw(kinds, 0), Draw(kinds, 1)
    for _ in range(rounds):
        for kind, size in product(further.chosen, FURTHER * (4, 6, 12)):
            yield SAME, "chosen on", size, further.alike(kind, size)
        for kind, size in product(kinds, (4, 6, 12)):
            if size <= len(kinds[kind]):
                place = "chosen on" if kind in draw.chosen else kind.split()[0]
                yield SAME, place, size, draw.alike(kind, size)
        for _ in range(REPEATS):
            yield MIXED, "chosen on", 4, draw.mixed(draw.chosen, 4)
            yield MIXED, "pascal", 4, draw.mixed(draw.rest, 4)
            for size in (4, 6):
                yield MIXED, "willow and voc", size, draw.mixed(draw.others, size)
            for size in (6, 8):
                yield MIXED, "all of pascal", size, draw.mixed(draw.pascal, size)
            yield MIXED, "everything", 12, draw.mixed([*draw.pascal, *draw.others], 12)
            for size in (6, 12):
                yield OTHER, "one outlier", size, draw.two(size - 1, 1)
                yield OTHER, "two halves", size, draw.two(size // 2, size // 2)


def likeness_of(images: Sequence[Image], open_store: Callable[[str], DescriptorStore]) -> float:
    """As `tasks.foreground.learn_stored` measures it, of images from several stores; NaN where it
    is not known.
    """
    joined = [
        join_facets([open_store(store).read(name, array) for array in CONFIG.arrays])
        for store, name in images
    ]
    axes = axes_of_maps(joined, len(joined))
    saliency = [open_store(store).read(name, "saliency") for store, name in images]
    units = [unit(one @ axes) for one in joined]
    sample = Sample(tuple(name for _, name in images), units, saliency, None)
    array = compared_array(CONFIG)
    described = (open_store(store).read(name, array) for store, name in images)
    found = learn(sample, CONFIG, axes).compared(sample, described, CONFIG).likeness
    return float("nan") if found is None else found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("work")
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    kinds = read_kinds(args.data, args.work)
    stores = {name: DescriptorStore.open(f"{args.work}/{name}") for name in SOURCES}
    kept = Path(args.work, "likeness.json")
    known: dict[str, float] = json.loads(kept.read_text()) if kept.exists() else {}
    values: dict[tuple[str, str, int], list[float]] = {}
    for what, group, size, images in random_sets(kinds, args.rounds):
        key = json.dumps(images)
        if key not in known:
            known[key] = likeness_of(images, stores.__getitem__)
            kept.write_text(json.dumps(known))
        values.setdefault((what, group, size), []).append(known[key])
    print(json.dumps(machine(CONFIG.resolved_weights)))
    report(values)


def report(values: dict[tuple[str, str, int], list[float]]) -> None:
    """What the limit does to every group."""

    def all_of(kind: str, tested: bool) -> np.ndarray:
        """Of sets that the limit was chosen on, or of those that test it."""
        groups = [
            v for (w, g, _), v in values.items() if w == kind and (g != "chosen on") == tested
        ]
        return np.concatenate(groups)

    def rank(key: tuple[str, str, int]) -> tuple[int, str, int]:
        return (SAME, MIXED, OTHER).index(key[0]), *key[1:]

    base, limit = all_of(SAME, tested=False), likeness_limit(CONFIG)
    low = np.quantile(base, [0, 0.01, 0.02, 0.05])
    print(f"limit {limit:.2f}; lowest, 1, 2 and 5 % of the {len(base)} sets of one kind chosen on:")
    print(", ".join(f"{value:.3f}" for value in low))
    print("\n| sets | of | size | number | likeness (5, 50, 95 %) | warned |")
    print("| --- | --- | --- | --- | --- | --- |")
    for (what, group, size), found in sorted(values.items(), key=lambda item: rank(item[0])):
        spread = ", ".join(f"{v:.2f}" for v in np.nanquantile(found, [0.05, 0.5, 0.95]))
        warned = np.mean(np.array(found) < limit)
        print(f"| {what} | {group} | {size} | {len(found)} | {spread} | {warned:.0%} |")
    same, mixed = all_of(SAME, tested=True), all_of(MIXED, tested=True)
    truth = np.repeat([1, 0], [len(same), len(mixed)])
    area = roc_auc_score(truth, np.concatenate([same, mixed]))
    false, missed = (same < limit).mean(), (mixed >= limit).mean()
    print(
        f"\nof those not chosen on: area under the curve {area:.3f}; of one kind and warned about"
    )
    print(f"{false:.1%}, without two of a kind and not warned about {missed:.1%}")


if __name__ == "__main__":
    main()
