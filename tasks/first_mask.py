"""No mask given: the salient object of a clip, found over a sample of its frames."""

import hashlib
from collections.abc import Iterator

import numpy as np

from storage.errors import StorageError
from storage.results import VOC_PALETTE
from storage.sources import ImageRef
from storage.videos import Clip, Frame, read_frames
from tasks.config import CosegmentConfig
from tasks.cosegment import cosegment
from tasks.describe import describe
from tasks.given_masks import GivenMasks
from tasks.ops.preprocess import to_image_size
from tasks.ops.refine import refine
from tasks.stored import ImageDescriptors
from tasks.video_config import PropagateConfig

_SAMPLE = 12  # frames: enough for a set, few enough that their cost is that of a second of video
_RATIO = 2.0  # frames of one clip share their background, which must not pass for the object


def salient_masks(clip: Clip, config: PropagateConfig) -> tuple[GivenMasks, tuple[str, ...]]:
    """The mask of the object that the sampled frames share, on the frame that shows it best.

    The sample is co-segmented like a set of images; the frame is the one whose foreground is
    most salient against its background. Returns the mask, and warnings.

    Raises:
        StorageError: no frame could be read, or nothing in the clip is salient.
    """
    frames = [frame for frame in _sampled(clip) if frame.pixels is not None]
    pictures = [frame.pixels for frame in frames if frame.pixels is not None]
    if not frames:
        raise StorageError(f"{clip.url}: none of its frames can be read")
    settings = _settings(config)
    described = [
        ImageDescriptors(
            name=frame.name,
            ref=ImageRef(frame.name, "", 0, ""),
            grid=item.grid,
            descriptors=item.arrays["descriptors"].astype(np.float32),
            saliency=item.arrays["saliency"].astype(np.float32),
            cls=None,
        )
        for frame, item in zip(frames, describe(pictures, settings), strict=True)
    ]
    found = cosegment(described, settings)
    contrast = [
        _contrast(foreground > 0.5, image.saliency)
        for foreground, image in zip(found.foreground, described, strict=True)
    ]
    best = int(np.argmax(contrast))
    soft = to_image_size(found.foreground[best], described[best].grid)
    mask = refine(pictures[best], soft, settings.refinement)
    if not mask.any():
        raise StorageError(
            f"{clip.url}: nothing in it stands out as an object. Give a mask with --mask."
        )
    digest = hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()
    note = f"no mask given: followed what is salient in frame {frames[best].name}"
    masks = {frames[best].index: mask.astype(np.uint8)}
    return GivenMasks(masks, (1,), VOC_PALETTE.copy(), digest), (note, *found.warnings)


def _settings(config: PropagateConfig) -> CosegmentConfig:
    shared = ("model", "weights", "weights_sha256", "device", "precision")
    return CosegmentConfig(
        **{name: getattr(config, name) for name in shared}, rule="relative", ratio=_RATIO
    )


def _contrast(inside: np.ndarray, saliency: np.ndarray) -> float:
    """Mean saliency within minus without; lowest where either is empty."""
    if not inside.any() or inside.all():
        return -1.0
    return float(saliency[inside].mean() - saliency[~inside].mean())


def _sampled(clip: Clip) -> Iterator[Frame]:
    """About `_SAMPLE` frames, evenly spaced, the first and the last among them."""
    count = clip.count or sum(1 for _ in read_frames(clip))
    wanted = np.unique(np.linspace(0, count - 1, min(_SAMPLE, count)).round().astype(int)).tolist()
    if clip.images:
        for index in wanted:
            yield next(read_frames(clip, index))
        return
    chosen = set(wanted)
    yield from (frame for frame in read_frames(clip) if frame.index in chosen)
