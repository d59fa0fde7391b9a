"""No mask given: the object of a clip that is salient and moves, over a sample of its frames."""

import hashlib
from typing import NamedTuple

import numpy as np

from storage.errors import StorageError
from storage.results import VOC_PALETTE
from storage.videos import Clip, pick_frames, read_frames
from tasks.config import ExtractConfig
from tasks.describe import Described, describe, model_of
from tasks.given_masks import GivenMasks
from tasks.ops.kmeans import assign, elbow_kmeans
from tasks.ops.motion import own_motion, salient_and_moving
from tasks.ops.patch_grid import unit
from tasks.ops.preprocess import to_image_size
from tasks.ops.refine import refine
from tasks.ops.video_masks import separate
from tasks.ops.voting import soft_foreground, vote_salient
from tasks.video_config import PropagateConfig

_SAMPLE = 12  # frames: enough for a set, few enough that they cost less than a second of video
_CLUSTERINGS = 8
_RATIO = 2.0  # frames of one clip share their background, which must not pass for the object


class _Sample(NamedTuple):
    """A frame, and its neighbour in time; None where there is none."""

    number: int
    name: str
    pixels: np.ndarray
    neighbour: np.ndarray | None


def salient_masks(clip: Clip, config: PropagateConfig) -> tuple[GivenMasks, tuple[str, ...]]:
    """The mask of the clip's object, on the sampled frame that shows it best.

    The sample is clustered like a set of images (Amir et al. 2021, section 4.1); clusters are
    kept by the geometric mean of saliency and motion. The frame is the one in which the
    foreground stands out most. Returns the mask, and warnings.

    Raises:
        StorageError: no frame could be read, or nothing in the clip stands out.
    """
    sample = _sampled(clip)
    described = describe([frame.pixels for frame in sample], _settings(config))
    scores = [_score(frame, item) for frame, item in zip(sample, described, strict=True)]
    for foreground in _foregrounds(described, scores):
        best, mask = _best(sample, described, scores, foreground)
        if mask.any():
            break
    else:
        raise StorageError(
            f"{clip.url}: nothing in it stands out as an object. Give a mask with --mask."
        )
    labels = separate(mask, config.objects)
    digest = hashlib.sha256(labels.tobytes()).hexdigest()
    note = f"no mask given: followed what is salient in frame {sample[best].name}"
    numbers = tuple(range(1, int(labels.max()) + 1))
    given = GivenMasks({sample[best].number: labels}, numbers, VOC_PALETTE.copy(), digest)
    return given, (note,)


def _settings(config: PropagateConfig) -> ExtractConfig:
    """Last-layer keys, as in co-segmentation, at a size that shows the object whole."""
    shared = ("model", "weights", "weights_sha256", "device", "precision")
    return ExtractConfig(
        **{name: getattr(config, name) for name in shared},
        layer=model_of(config).depth - 1,
        facet="key",
        stride=model_of(config).patch,
        size=252,
    )


def _score(frame: _Sample, item: Described) -> np.ndarray:
    saliency = item.arrays["saliency"].astype(np.float32)
    motion = None
    if frame.neighbour is not None and frame.neighbour.shape == frame.pixels.shape:
        motion = own_motion(frame.pixels, frame.neighbour, item.grid.shape)
    return salient_and_moving(saliency, motion)


def _best(
    sample: list[_Sample],
    described: list[Described],
    scores: list[np.ndarray],
    foreground: list[np.ndarray],
) -> tuple[int, np.ndarray]:
    """The place in the sample where the foreground stands out most, and its (H, W) bool mask."""
    contrast = [_contrast(f > 0.5, s) for f, s in zip(foreground, scores, strict=True)]
    best = int(np.argmax(contrast))
    # Patches of a kept cluster that neither stand out nor move are most likely of another thing.
    gate = np.clip(scores[best] / max(2 * float(scores[best].mean()), 1e-9), 0, 1)
    grid = described[best].grid
    soft = to_image_size(foreground[best], grid) * to_image_size(gate, grid)
    return best, refine(sample[best].pixels, soft, "grabcut")


def _foregrounds(described: list[Described], scores: list[np.ndarray]) -> list[list[np.ndarray]]:
    """(rows, cols) soft foregrounds of each frame: the mean of several clusterings, then each.

    k-means of so few patches ends differently after the least change in them, and one that
    happens to join the object with its surroundings would decide the whole clip. Where they
    agree on nothing, a single one is better than none.
    """
    units = [unit(item.arrays["descriptors"]) for item in described]
    points = np.concatenate([u.reshape(-1, u.shape[-1]) for u in units])
    found = [_clustered(units, points, scores, seed) for seed in range(_CLUSTERINGS)]
    return [[np.mean(frames, axis=0) for frames in zip(*found, strict=True)], *found]


def _clustered(
    units: list[np.ndarray], points: np.ndarray, scores: list[np.ndarray], seed: int
) -> list[np.ndarray]:
    """(rows, cols) soft foreground of each frame by one clustering of all patches."""
    clustering = elbow_kmeans(
        points, max_clusters=15, elbow=0.975, sample_step=4, seed=seed, restarts=2
    )
    labels = [assign(u, clustering.centers) for u in units]
    votes = vote_salient(
        labels, scores, clusters=len(clustering.centers), rule="relative", ratio=_RATIO
    )
    kept = votes.kept
    if not kept.any():
        kept = np.arange(len(clustering.centers)) == int(np.argmax(votes.saliency))
    return [soft_foreground(u, clustering.centers, kept) for u in units]


def _contrast(inside: np.ndarray, score: np.ndarray) -> float:
    """Mean score within minus without; lowest where either is empty."""
    if not inside.any() or inside.all():
        return -1.0
    return float(score[inside].mean() - score[~inside].mean())


def _sampled(clip: Clip) -> list[_Sample]:
    """About `_SAMPLE` frames, evenly spaced, each with the next one (the last: the one before)."""
    count = clip.count or sum(1 for _ in read_frames(clip))
    wanted = np.unique(np.linspace(0, count - 1, min(_SAMPLE, count)).round().astype(int)).tolist()
    pairs = {i: i + 1 if i + 1 < count else i - 1 for i in wanted}
    numbers = {i for i in (*pairs, *pairs.values()) if 0 <= i < count}
    frames = {frame.index: frame for frame in pick_frames(clip, numbers)}
    sample = []
    for index, other in pairs.items():
        frame = frames.get(index)
        if frame is not None and frame.pixels is not None:
            neighbour = frames[other].pixels if other in frames else None
            sample.append(_Sample(index, frame.name, frame.pixels, neighbour))
    if not sample:
        problems = [f"{frame.name}: {frame.problem}" for frame in frames.values()]
        raise StorageError(
            f"{clip.url}: none of its frames can be read; {(problems or ['it has none'])[0]}."
        )
    return sample
