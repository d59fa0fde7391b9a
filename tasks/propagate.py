"""Propagation tasks: find the clips, carry masks through one, leave masks and a film."""

import hashlib
import json
import time
from dataclasses import dataclass, replace

import numpy as np
from prefect import task

from storage.errors import StorageError
from storage.files import exists, join, list_folder, open_filesystem, remove
from storage.results import write_csv, write_indexed_png
from storage.videos import Clip, Frame, frame_names, list_clips, name_clips, open_clip
from tasks.bars import advance
from tasks.clip_descriptors import open_store, pixels_of, with_store
from tasks.clip_pictures import leave_pictures
from tasks.clip_run import run_clip
from tasks.clip_state import ClipState, drop_state, load_state
from tasks.clip_warnings import stretched_frames, unseen_objects
from tasks.config import EXECUTION_FIELDS
from tasks.faults import STORAGE_RETRIES
from tasks.given_masks import GivenMasks, fits, read_given
from tasks.propagator import FrameMask
from tasks.reuse import finished, mark_finished
from tasks.video_config import PropagateConfig

CODE = "propagate-4"  # part of every result's key: raise it when the maths or the files change


@dataclass(frozen=True, slots=True)
class ClipJob:
    """One clip to do. mask: a PNG or a folder of them; None: the salient object.

    limit: only so many frames.
    """

    name: str
    clip: str
    mask: str | None
    folder: str
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class ClipReport:
    """What became of one clip. missing: (frame, problem). reused: nothing had to be done."""

    name: str
    folder: str
    frames: int
    objects: int
    missing: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    seconds: float
    reused: bool = False


@task(name="find-clips", task_run_name="clips in {frames}", **STORAGE_RETRIES)
def find_clips(frames: str, mask: str | None, out: str) -> list[ClipJob]:
    """One job a clip: `frames` itself, or every folder and video file in it.

    Results of a single clip lie directly below `out`, of many in a folder each. Of many clips,
    `mask` is a folder with ``<clip>.png`` or a folder ``<clip>`` for each.

    Raises:
        StorageError: `frames` holds several clips and `mask` is no folder.
    """
    clips = [clip for clip in list_clips(frames) if clip.rstrip("/") != str(out).rstrip("/")]
    names = name_clips(clips)
    if clips == [str(frames)]:
        return [ClipJob(names[0], clips[0], mask, out)]
    if mask is not None and not _is_folder(mask):
        raise StorageError(
            f"{mask}: expected a folder with a mask <clip>.png, or a folder <clip> of masks, for "
            f"each of the {len(clips)} clips in {frames}: {', '.join(names[:3])}, ..."
        )
    return [
        ClipJob(name, clip, _mask_of(mask, name), join(out, name))
        for name, clip in zip(names, clips, strict=True)
    ]


@task(name="propagate-clip", tags=["patchflow-propagate"], **STORAGE_RETRIES)
def propagate_clip(job: ClipJob, config: PropagateConfig) -> ClipReport:
    """Write ``masks/<frame>.png``, ``overlay.mp4`` and ``curve.csv`` of one clip.

    A clip that an equal run finished is left alone; one that was interrupted goes on.
    """
    started = time.perf_counter()
    config = with_store(config)
    clip = open_clip(job.clip)
    if job.limit is not None and clip.images:
        clip = replace(
            clip, images=clip.images[: job.limit], count=min(job.limit, len(clip.images))
        )
    given = None if job.mask is None else read_given(job.mask, clip)
    key = _key(clip, given, config)
    earlier = finished(job.folder, key, ClipReport)
    if earlier is not None and _masks_in(job.folder) >= earlier.frames:
        return replace(earlier, reused=True)
    given, warnings = (given, ()) if given is not None else _salient(clip, config)
    state = load_state(job.folder, f"{key} {given.digest}")
    stretched: list[str] = []

    def write(frame: Frame, found: FrameMask) -> None:
        if not fits(given, *pixels_of(frame).shape[1::-1]):
            stretched.append(frame.name)
        labels = _resized(found.labels, given.size)
        write_indexed_png(join(job.folder, "masks", f"{frame.name}.png"), labels, given.palette)
        advance()

    missing = run_clip(clip, given, config, state, job.folder, write)
    if not state.areas:
        name, problem = missing[0]
        raise StorageError(f"{clip.url}: none of its frames can be read; {name}: {problem}.")
    warnings = (*warnings, *stretched_frames(stretched), *unseen_objects(given, state))
    _remove_others(clip, job.folder)
    _write_curve(job.folder, given, state)
    if config.pictures:
        leave_pictures(job.folder, job.name, clip, given, state, warnings, config)
    report = ClipReport(
        name=job.name,
        folder=job.folder,
        frames=len(state.areas),
        objects=len(given.numbers),
        missing=tuple((f"{job.name}/{name}", problem) for name, problem in missing),
        warnings=warnings,
        seconds=time.perf_counter() - started,
    )
    mark_finished(job.folder, key, report)
    drop_state(job.folder)
    return report


def _masks_in(folder: str) -> int:
    return len(list_folder(join(folder, "masks")))


def _remove_others(clip: Clip, folder: str) -> None:
    """Remove masks of an earlier run whose names no frame of this clip has."""
    ours = {f"{stem}.png" for stem in frame_names(clip)}
    for name in list_folder(join(folder, "masks")):
        if ours and name.endswith(".png") and name not in ours:
            remove(join(folder, "masks", name))


def _salient(clip: Clip, config: PropagateConfig) -> tuple[GivenMasks, tuple[str, ...]]:
    # It brings scikit-learn along, 140 MB that a given mask does not need.
    from tasks.first_mask import salient_masks

    return salient_masks(clip, config)


def _key(clip: Clip, given: GivenMasks | None, config: PropagateConfig) -> str:
    """Digest of everything that the masks depend on; what is salient depends on the rest."""
    left_out = set(EXECUTION_FIELDS) | config.fields_of_execution | {"store"}
    content = {
        "code": CODE,
        "clip": [clip.url, clip.version] if not clip.images else None,
        "frames": [(ref.name, ref.bytes, ref.version) for ref in clip.images],
        "masks": None if given is None else given.digest,
        "store": None if config.store is None else open_store(config).config_digest,
        "config": config.model_dump(mode="json", exclude=left_out)
        | {"weights": config.resolved_weights},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _resized(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Nearest neighbour to (width, height)."""
    if (labels.shape[1], labels.shape[0]) == size:
        return labels
    rows = ((np.arange(size[1]) + 0.5) * labels.shape[0] / size[1]).astype(int)
    cols = ((np.arange(size[0]) + 0.5) * labels.shape[1] / size[0]).astype(int)
    resized: np.ndarray = labels[rows[:, None], cols[None]]
    return resized


def _write_curve(folder: str, given: GivenMasks, state: ClipState) -> None:
    rows = [
        (index, round(state.confidence[index], 6), *(round(a, 8) for a in state.areas[index]))
        for index in sorted(state.areas)
    ]
    header = ("frame", "confidence", *(f"area_{number}" for number in given.numbers))
    write_csv(join(folder, "curve.csv"), header, rows)


def _is_folder(url: str) -> bool:
    fs, path = open_filesystem(url)
    return bool(fs.isdir(path))


def _mask_of(mask: str | None, name: str) -> str | None:
    if mask is None:
        return None
    single = join(mask, f"{name}.png")
    return single if exists(single) else join(mask, name)
