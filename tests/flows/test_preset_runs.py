"""Every published preset runs to its end and leaves the settings that its paper names.

The models are those of the right names with random weights and one change: they are narrower
(depth, patch, prefix tokens, position embedding and, where a preset names them, heads are the
real ones'), so that a model of 7 billion parameters takes no more time than a small one.
The cheapest of each kind runs always, all with PATCHFLOW_LONG_TESTS=1 (about a minute).
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from tiny_benchmarks import WRITERS
from tiny_tss import write_pair

from flows.benchmarks import BENCHMARKS
from flows.evaluate import evaluate
from storage.descriptors import DescriptorStore
from storage.results import read_json
from tasks import model as models
from tasks.presets import PRESETS, preset_settings

S8, S16, B8 = (f"vit_{n}_224.dino" for n in ("small_patch8", "small_patch16", "base_patch8"))
B14, G14 = (f"vit_{n}_patch14_dinov2.lvd142m" for n in ("base", "giant"))
V3 = "vit_7b_patch16_dinov3.lvd1689m"
PAPER = {"saliency_heads": [0, 2, 4, 5]}
COSEG = PAPER | {
    "max_clusters": 15, "elbow": 0.975, "sample_step": 100, "rule": "votes", "threshold": 0.065,
    "share": 0.75, "refinement": "grabcut", "also": [], "dtype": "float16",
}  # fmt: skip
MATCH = {
    "also": [], "hierarchy": 0, "window": 0, "align": False, "mirror": False, "hubness": 0,
    "dtype": "float16",
}  # fmt: skip
VIDEO = {
    "multiple": 64, "recent": 7, "radius": 12, "top_k": 5, "temperature": 0.1,
    "neighbourhood": "square", "labels": "patch", "stride_x": None, "also": [], "channels": None,
}  # fmt: skip
CORR = PAPER | MATCH | {"hierarchy": 2}
NORMED = "normed_token"
SQUARE = VIDEO | {"multiple": None}
FOUND = {"also": [], "dtype": "float16"}
LOST = FOUND | {"method": "lost", "neighbours": 100, "center": False}
CUT = FOUND | {"method": "token_cut", "tau": 0.2, "by_saliency": False}
CUT3 = CUT | {"tau": 0.3}
VIDEO3 = VIDEO | {"multiple": None, "temperature": 0.2, "neighbourhood": "circle"}
# PROTOCOLS.md's table: benchmark, model, position resize, layer, facet, stride, size, fit, the
# grid of a picture of 64 x 48 pixels, and what else the number depends on.
TABLE: dict[str, tuple[Any, ...]] = {
    "asic-spair224": ("spair71k", S8, "dino", 9, "key", 4, 224, "pad", (55, 55), MATCH),
    "sddino-pfpascal224": ("pf-pascal", S8, "dino", 9, "key", 4, 224, "pad", (55, 55), MATCH),
    "amir2021-corr": ("spair71k", S8, "dino", 9, "key", 4, 224, "short", (55, 73), CORR),
    "sddino-tss480": ("tss", S8, "dino", 9, "key", 8, 480, "pad", (60, 60), MATCH),
    "sddino-dinov2-840": ("spair71k", B14, "dinov2", 11, "token", 14, 840, "pad", (60, 60), MATCH),
    "amir2021-coseg": ("pascal-coseg", S8, "dino", 11, "key", 4, 224, "short", (55, 73), COSEG),
    "rayzer-coseg": ("d-re10k", S8, "dino", 11, "key", 4, 224, "short", (55, 73), COSEG),
    "dino-davis480": ("davis2017", S16, "dino", 11, NORMED, 16, 480, "short", None, VIDEO),
    "dino-davis480-s8": ("davis2017", S8, "dino", 11, NORMED, 8, 480, "short", None, VIDEO),
    "dino-davis480-b8": ("davis2017", B8, "dino", 11, NORMED, 8, 480, "short", None, VIDEO),
    "lift-davis448": ("davis2017", S16, "dino", 11, "key", 16, 448, "square", None, SQUARE),
    "dinov3-davis960": ("davis2017", V3, None, 39, NORMED, 16, 960, "short", None, VIDEO3),
    "dinov3-davis960-dinov2": (
        "davis2017",
        G14,
        "dinov2",
        39,
        NORMED,
        14,
        960,
        "short",
        None,
        VIDEO3,
    ),
    "lost-fullres": ("voc2007", S16, "dino", 11, "key", 16, None, "native", (3, 4), LOST),
    "tokencut-fullres": ("voc2007", S16, "dino", 11, "key", 16, None, "native", (3, 4), CUT),
    "tokencut-lift448": ("voc2007", S16, "dino", 11, "key", 16, 448, "square", (28, 28), CUT),
    "tokencut-lift448-coco": ("coco20k", S16, "dino", 11, "key", 16, 448, "square", (28, 28), CUT3),
}

CHEAPEST = ("sddino-pfpascal224", "dino-davis480", "lost-fullres")


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Makes models that many heads wide, of 24 channels each."""
    create = timm.create_model

    def use(heads: int) -> None:
        wide = {"embed_dim": 24 * heads, "num_heads": heads}
        monkeypatch.setattr(models.timm, "create_model", lambda n, **o: create(n, **o, **wide))

    models._load.cache_clear()
    yield use
    models._load.cache_clear()


def test_the_table_is_complete() -> None:
    assert set(TABLE) == set(PRESETS)


@pytest.mark.parametrize("name", TABLE)
def test_a_preset_pins_what_its_paper_did(name: str) -> None:
    """Whatever the defaults are; that runs use it is tested below."""
    benchmark, model, resize, layer, facet, stride, size, fit, _, others = TABLE[name]
    wanted = {"model": model, "layer": layer, "facet": facet, "stride": stride, "fit": fit} | others
    wanted |= {"size": size} if size else {}
    wanted |= {"position_resize": resize} if resize else {}
    entry = BENCHMARKS[benchmark].config
    settings = entry(**preset_settings(name, entry)).model_dump(mode="json")
    assert {key: settings[key] for key in wanted} == wanted


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("name", TABLE if "PATCHFLOW_LONG_TESTS" in os.environ else CHEAPEST)
def test_a_preset_runs_with_its_papers_settings(
    name: str, narrow: Callable[[int], None], tmp_path: Path
) -> None:
    benchmark, model, resize, layer, facet, stride, size, fit, grid, others = TABLE[name]
    narrow(6 if "saliency_heads" in others else 1)
    root, out = tmp_path / "data", tmp_path / "out"
    write_pair(root / "JODS" / "a") if benchmark == "tss" else WRITERS[benchmark](root)
    entry = BENCHMARKS[benchmark].config
    config = entry(**preset_settings(name, entry) | {"weights": "random"})
    summary = evaluate(benchmark, str(root), str(out), config, name)
    content = read_json(summary.metrics)
    assert (content["benchmark"], content["preset"]) == (benchmark, name)
    assert content["scores"]
    settings = content["settings"]
    wanted = {"model": model, "layer": layer, "facet": facet, "stride": stride, "fit": fit}
    wanted |= {"size": size} if size else {}
    wanted |= {"position_resize": resize} if resize else {}
    assert {key: settings[key] for key in wanted | others} == wanted | others
    if grid is not None:
        store = DescriptorStore.open(str(out / "store"))
        assert {p.grid for p in store.index().partitions.values()} == {grid}
        stored = store.info.config
        assert {key: stored[key] for key in wanted} == wanted


@pytest.mark.parametrize("name", sorted({row[1] for row in TABLE.values()}))
def test_the_real_models_have_what_presets_ask_of_them(name: str) -> None:
    """Built without memory: depth, patch and heads fit the settings."""
    with torch.device("meta"):
        real = timm.create_model(name, num_classes=0)
    patch = real.patch_embed.patch_size[0]
    for row in TABLE.values():
        if row[1] == name:
            assert row[3] == len(real.blocks) - 1 or row[3] < len(real.blocks)
            assert patch % row[5] == 0
            assert max(row[9].get("saliency_heads", [0])) < real.blocks[0].attn.num_heads
