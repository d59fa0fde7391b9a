"""Films written as MP4 that browsers play."""

import posixpath
import tempfile
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from storage.files import open_filesystem


def write_mp4(
    url: str, frames: Iterable[NDArray[np.uint8]], *, fps: float = 25.0, quality: int = 23
) -> str:
    """Write (H, W, 3) uint8 frames as H.264 that browsers play. Returns ``url``.

    The first frame's size stands, made even by repeating the last row or column; later frames
    of another size are cropped and padded to it. quality: x264's rate factor, lower is better.

    Raises:
        ValueError: no frames.
    """
    # On disk first: players want the index in front, and FFmpeg rewrites the file for that.
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        with av.open(file.name, "w", options={"movflags": "faststart"}) as container:
            stream = None
            for pixels in frames:
                if stream is None:
                    stream = _add_stream(container, pixels, fps, quality)
                fitted = _fit(pixels, stream.height, stream.width)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(fitted, format="rgb24")))
            if stream is None:
                raise ValueError(f"{url}: expected at least one frame, got none")
            container.mux(stream.encode())
        _upload(url, file.name)
    return url


def _add_stream(container: Any, pixels: NDArray[np.uint8], fps: float, quality: int) -> Any:
    stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
    stream.height, stream.width = (side + side % 2 for side in pixels.shape[:2])
    stream.pix_fmt = "yuv420p"  # the one subsampling that all browsers decode
    stream.options = {"crf": str(quality), "preset": "veryfast"}
    return stream


def _fit(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    cropped = pixels[:height, :width]
    missing = height - cropped.shape[0], width - cropped.shape[1]
    if any(missing):
        cropped = np.pad(cropped, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
    return np.ascontiguousarray(cropped)


def _upload(url: str, path: str) -> None:
    fs, target = open_filesystem(url)
    fs.makedirs(posixpath.dirname(target), exist_ok=True)
    fs.put_file(path, target)
