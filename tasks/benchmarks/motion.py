"""Dynamic-RE10K (Chen et al. 2026, WildRayZer): masks of what moves in clips of rooms.

As published (or its folder test)::

    ROOT/test/dre10k_final_context_2.txt       a metadata file a line; iPhone: wildrayzer_...
    ROOT/test/metadata/<scene>.json            {"frames": [{"image_path": ".../<folder>/<file>"}]}
    ROOT/test/images/<folder>/<file>
    ROOT/test/binary_masks/<scene>/00000.npy   (H, W) 0 or 1, by frame number from 0 or 1

Scores: mIoU, and the recall of moving pixels, means over frames and then over scenes; a frame in
which nothing moves scores 1 where nothing is found, else 0. Where renderings are given
(``<scene>/rendered/<file>`` beside ``<scene>/gt/<file>``, as WildRayZer's inference writes them):
PSNR in dB over the pixels that the found masks leave, over those that the true ones leave, and
over all; means over frames and then over scenes.
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from zipfile import BadZipFile

import numpy as np
from prefect import task

from storage.files import exists, join, list_folder, read_bytes
from storage.images import decode_image
from storage.results import read_mask
from tasks.benchmarks.found_masks import mask_urls
from tasks.benchmarks.layout import LayoutError, choose, require
from tasks.faults import STORAGE_RETRIES
from tasks.ops.metrics import jaccard
from tasks.ops.psnr import masked_psnr
from tasks.scores import Scores, mean_scores

LISTS = {
    "d-re10k": "dre10k_final_context_2.txt",
    "d-re10k-iphone": "wildrayzer_final_context_2.txt",
}
_LAYOUT = (
    "test/{list}, test/metadata/<scene>.json, test/images/<folder>/<file> and "
    "test/binary_masks/<scene>/<frame number>.npy"
)


@dataclass(frozen=True, slots=True)
class MotionBenchmark:
    """What is evaluated. images: the folder of all. frames: scene to image names below it.
    truths: image name to the URL of its mask.
    """

    images: str
    frames: Mapping[str, tuple[str, ...]]
    truths: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """All frames, as the extraction of `images` names them."""
        return tuple(dict.fromkeys(name for names in self.frames.values() for name in names))


@task(name="load-benchmark", task_run_name="{benchmark} in {root}", **STORAGE_RETRIES)
def load(
    benchmark: str, root: str, scenes: Sequence[str] = (), limit: int | None = None
) -> MotionBenchmark:
    """Check the layout and choose `scenes` and the first `limit` frames of each.

    Raises:
        LayoutError: files that are missing or malformed, or unknown scenes.
    """
    listing = LISTS[benchmark]
    layout = _LAYOUT.format(list=listing)
    base = join(root, "test") if exists(join(root, "test", listing)) else root
    require(root, [join(base, listing)], layout)
    lines = read_bytes(join(base, listing)).decode().split()
    known = [PurePosixPath(line).stem for line in lines]
    frames: dict[str, tuple[str, ...]] = {}
    truths: dict[str, str] = {}
    for scene in choose(known, scenes, "scene"):
        metadata = join(base, "metadata", f"{scene}.json")
        require(root, [metadata], layout)
        names = _frames(metadata, layout)
        masks = join(base, "binary_masks", scene.partition("_context_")[0])
        start = 0 if exists(join(masks, "00000.npy")) else 1  # some scenes count from 1
        found = {n: join(masks, f"{i:05d}.npy") for i, n in enumerate(names, start)}
        frames[scene] = tuple(names)[:limit]
        truths |= {name: found[name] for name in frames[scene]}
    images = join(base, "images")
    chosen = MotionBenchmark(images, frames, truths)
    require(root, (join(images, name) for name in chosen.names), layout)
    require(root, truths.values(), layout)
    return chosen


@task(name="score", task_run_name="score {out}", **STORAGE_RETRIES)
def score(
    benchmark: MotionBenchmark, out: str, renderings: str | None, weights: Mapping[str, str]
) -> Scores:
    """Compare ``OUT/<folder>/masks`` with the truth; a mask that is missing is empty."""
    items: dict[str, dict[str, float]] = {}
    by_scene: dict[str, dict[str, float]] = {}
    decibels: list[dict[str, float]] = []
    found = mask_urls(out, benchmark.names)
    for scene, names in benchmark.frames.items():
        masks = {n: _masks(benchmark.truths[n], found[n]) for n in names}
        items |= {f"{scene}/{PurePosixPath(n).name}": _overlap(*masks[n]) for n in names}
        by_scene[scene] = mean_scores([_overlap(*pair) for pair in masks.values()])
        if renderings is not None:
            decibels.append(_rendered(join(renderings, scene), masks))
    return Scores(
        scores=mean_scores(list(by_scene.values())),
        by_category=by_scene,
        items=items,
        weights=weights,
        notes=(
            "means over frames, then over scenes; nothing that moves and nothing found is 1",
            *(("psnr_db: over the pixels that the found masks leave",) if renderings else ()),
        ),
        measures=mean_scores(decibels),
        groups={item: item.rpartition("/")[0] for item in items},
    )


def _frames(metadata: str, layout: str) -> list[str]:
    """Image names of a scene's frames, in their order."""
    try:
        entries = json.loads(read_bytes(metadata))["frames"]
        paths = [PurePosixPath(entry["image_path"].replace("\\", "/")) for entry in entries]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LayoutError(f"{metadata}: no frames ({error!r}). Expected {layout}") from error
    return ["/".join(path.parts[-2:]) for path in paths]


def _masks(url: str, found: str) -> tuple[np.ndarray, np.ndarray]:
    """Found and true mask (H, W) bool of a frame, in the frame's size.

    Args:
        url: of the true one. found: URL of the other, empty where there is none.
    """
    try:
        truth = np.load(io.BytesIO(read_bytes(url)), allow_pickle=False)
    except (ValueError, EOFError, BadZipFile) as error:
        raise LayoutError(f"{url}: no array of numpy ({error})") from error
    if np.ndim(truth) != 2:
        raise LayoutError(f"{url}: expected a mask (H, W), got {np.shape(truth)}")
    mask = read_mask(found) if exists(found) else np.zeros(truth.shape, dtype=bool)
    return mask, _resized(truth > 0, mask.shape)


def _overlap(mask: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    found = {"miou": jaccard(mask, truth)}
    return found | ({"recall": float(mask[truth].mean())} if truth.any() else {})


def _rendered(folder: str, masks: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """PSNR of one scene's renderings, means over its frames."""
    by_file = {PurePosixPath(name).name: pair for name, pair in masks.items()}
    files = [f for f in list_folder(join(folder, "rendered")) if f in by_file]
    if not files:
        raise LayoutError(f"{folder}: no rendering of a frame. Expected rendered/<file>, gt/<file>")
    require(folder, (join(folder, "gt", file) for file in files), "rendered/<file>, gt/<file>")
    values = []
    for file in files:
        rendered, true = (
            decode_image(read_bytes(join(folder, kind, file)), file) for kind in ("rendered", "gt")
        )
        found, truth = (_resized(mask, true.shape[:2]) for mask in by_file[file])
        kinds = {"psnr_db": ~found, "psnr_true_masks_db": ~truth, "psnr_all_db": None}
        decibels = {name: masked_psnr(rendered, true, keep) for name, keep in kinds.items()}
        values.append({name: value for name, value in decibels.items() if not np.isnan(value)})
    return mean_scores(values)


def _resized(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Nearest neighbour to (H, W)."""
    rows, cols = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(shape, mask.shape, strict=True)
    )
    return np.asarray(mask[rows[:, None], cols[None]])
