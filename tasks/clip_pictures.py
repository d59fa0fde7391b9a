"""A finished clip as a film, as pictures for its page, and as curves over time."""

from collections.abc import Iterator

import numpy as np

from storage.errors import StorageError
from storage.files import join
from storage.results import read_indexed_png, write_rgb
from storage.videos import Clip, read_frames, write_mp4
from tasks.clip_state import ClipState
from tasks.given_masks import GivenMasks
from tasks.ops.draw import label_overlay, palette
from tasks.ops.draw_layout import filmstrip, fitted
from tasks.report_records import CurveRecord, ImageRecord, SetRecord, write_record
from tasks.video_config import PropagateConfig

MOVIE = "overlay.mp4"
STRIP = "filmstrip.jpg"
_PICTURES = 48  # frames that have pictures on the page
_SIDE = 400  # pixels of a picture's longer side
_MOVIE_SIDE = 960  # of the film's, so that it stays a few megabytes


def leave_pictures(
    folder: str,
    name: str,
    clip: Clip,
    given: GivenMasks,
    state: ClipState,
    warnings: tuple[str, ...],
    config: PropagateConfig,
) -> None:
    """Write the film, the filmstrip, pictures of some frames and the page's record."""
    done = sorted(state.areas)
    picked = np.linspace(0, len(done) - 1, min(_PICTURES, len(done)))
    chosen = {done[int(i)] for i in np.unique(picked.round())}
    records: dict[int, ImageRecord] = {}
    strip: list[np.ndarray] = []

    def drawn() -> Iterator[np.ndarray]:
        for index, stem, picture, overlay in _overlays(folder, clip, given):
            if index in chosen:
                records[index] = _write_frame(folder, index, stem, picture, overlay, state)
                strip.append(fitted(overlay, _SIDE, _SIDE))
            yield overlay

    write_mp4(join(folder, MOVIE), drawn(), fps=clip.fps or 25.0)
    write_rgb(join(folder, STRIP), filmstrip(strip))
    frames = sorted(records)
    lines = {
        f"area of object {number}": tuple(state.areas[i][k] for i in frames)
        for k, number in enumerate(given.numbers)
    }
    sure = {"confidence": tuple(state.confidence[i] for i in frames)}
    top = max((max(values) for values in lines.values()), default=1.0)
    record = SetRecord(
        kind="video",
        name=name,
        images=tuple(records[i] for i in frames),
        curves=(
            CurveRecord("Confidence over time", sure),
            CurveRecord("Area over time, share of the frame", lines, high=max(1.1 * top, 1e-3)),
        ),
        numbers={
            "frames": len(done),
            "objects": len(given.numbers),
            "mean confidence": float(np.mean([state.confidence[i] for i in done])),
        },
        warnings=warnings,
        settings=config.model_dump(mode="json"),
        movie=MOVIE,
    )
    write_record(folder, record)


def _overlays(
    folder: str, clip: Clip, given: GivenMasks
) -> Iterator[tuple[int, str, np.ndarray, np.ndarray]]:
    """Index, name, picture and overlay of every frame that has a mask, in the clip's order."""
    colours = palette(max(len(given.numbers), 1))
    numbering = np.zeros(256, dtype=np.int64)
    numbering[list(given.numbers)] = np.arange(1, len(given.numbers) + 1)
    for frame in read_frames(clip):
        if frame.pixels is None:
            continue
        try:
            labels = read_indexed_png(join(folder, "masks", f"{frame.name}.png"))
        except (FileNotFoundError, StorageError):
            continue
        picture = frame.pixels
        if max(picture.shape[:2]) > _MOVIE_SIDE:
            picture = fitted(picture, _MOVIE_SIDE, _MOVIE_SIDE)
        height, width = picture.shape[:2]
        rows = ((np.arange(height) + 0.5) * labels.shape[0] / height).astype(int)
        cols = ((np.arange(width) + 0.5) * labels.shape[1] / width).astype(int)
        objects = numbering[labels[rows[:, None], cols[None]]]
        yield frame.index, frame.name, picture, label_overlay(picture, objects, colours)


def _write_frame(
    folder: str,
    index: int,
    stem: str,
    picture: np.ndarray,
    overlay: np.ndarray,
    state: ClipState,
) -> ImageRecord:
    pictures = {}
    for layer, pixels in (("image", picture), ("overlay", overlay)):
        pictures[layer] = f"pictures/{index:06d}-{layer}.jpg"
        write_rgb(join(folder, pictures[layer]), fitted(pixels, _SIDE, _SIDE), quality=85)
    return ImageRecord(
        name=stem,
        width=picture.shape[1],
        height=picture.shape[0],
        pictures=pictures,
        mask=f"masks/{stem}.png",
        numbers={"confidence": round(state.confidence[index], 3)},
    )
