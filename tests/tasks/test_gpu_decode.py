"""JPEG files that a GPU decodes: the same pictures in the same order, and nothing lost."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from storage.descriptors import DescriptorStore
from storage.headers import JpegHeader, jpeg_header
from storage.images import list_images
from tasks import gpu_decode, reading
from tasks.config import ExtractConfig
from tasks.extract import write_partition
from tasks.gpu_decode import Encoded, decode_jpegs
from tasks.model import load_model
from tasks.ops.patch_grid import plan_grid
from tasks.plan import plan_extraction

CONFIG = ExtractConfig(
    model="test_vit", weights="random", layer=3, facet="key", stride=8, size=64, fit="square",
    precision="float32", batch=4, decoder="nvjpeg",
)  # fmt: skip
RNG = np.random.default_rng(4)


def pillow(files: list[Tensor], device: str) -> list[Tensor]:
    """A decoder that stops at the first broken file, as nvJPEG does."""
    images = []
    for file in files:
        try:
            image = Image.open(io.BytesIO(file.numpy().tobytes())).convert("RGB")
        except OSError as error:
            raise RuntimeError("broken") from error
        images.append(torch.from_numpy(np.array(image)).permute(2, 0, 1).to(device))
    return images


def smooth(height: int = 48, width: int = 80) -> Image.Image:
    noise = Image.fromarray(RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return noise.resize((width, height), Image.Resampling.BICUBIC)


def jpeg(image: Image.Image, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=95, **options)
    return out.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return jpeg(smooth(), exif=exif)


def test_only_whole_jpeg_files_in_colour_or_grey_are_for_the_gpu() -> None:
    assert jpeg_header(jpeg(smooth()), "a") == JpegHeader(80, 48, 1)
    assert jpeg_header(turned(6), "a") == JpegHeader(80, 48, 6)
    assert JpegHeader(80, 48, 6).upright == (48, 80)
    assert jpeg_header(jpeg(smooth().convert("L")), "a") == JpegHeader(80, 48, 1)
    assert jpeg_header(jpeg(smooth()) + bytes(3), "a") is not None
    assert jpeg_header(jpeg(smooth().convert("CMYK")), "a") is None
    assert jpeg_header(jpeg(smooth())[:-40], "a") is None
    png = io.BytesIO()
    smooth().save(png, "PNG")
    assert jpeg_header(png.getvalue(), "a") is None


def test_one_file_that_cannot_be_decoded_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_decode, "_PIXELS", 2 * 80 * 48)
    broken = jpeg(smooth())[:300] + b"\xff\xd9"
    files = [jpeg(smooth()), broken, jpeg(smooth()), jpeg(smooth(90, 90)), jpeg(smooth())]
    sizes = [(80, 48)] * 3 + [(90, 90), (80, 48)]
    encoded = [Encoded(d, JpegHeader(*s, 1)) for d, s in zip(files, sizes, strict=True)]
    grids = [plan_grid(*s, patch=8, stride=(8, 8), size=40, fit="square") for s in sizes]
    found = decode_jpegs(encoded, grids, "bicubic", "cpu", decoder=pillow)
    assert [canvas is None for canvas in found] == [False, True, False, False, False]
    assert all(canvas.shape == (40, 40, 3) for canvas in found if canvas is not None)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, data in enumerate([jpeg(smooth()), turned(8), turned(1), jpeg(smooth())]):
        (folder / f"{number}.jpg").write_bytes(data)
    smooth().save(folder / "4.png")
    (folder / "5.jpg").write_bytes(jpeg(smooth())[:300] + b"\xff\xd9")
    (folder / "6.jpg").write_bytes(jpeg(smooth())[:-100])
    return folder


def stored(pictures: Path, url: str, config: ExtractConfig) -> tuple[dict[str, np.ndarray], set]:
    """Descriptors by name, and the names of failures."""
    plan = plan_extraction(list_images(str(pictures)), str(pictures), url, config)
    store = DescriptorStore.open(url)
    reports = [write_partition(store, part, plan.config) for part in plan.partitions]
    maps = {image: store.read(image, "descriptors") for image in store.index()}
    return maps, {name for report in reports for name, _ in report.reasons}


def test_a_store_is_the_same_but_for_grey_levels(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_decode.decode_jpegs, "__kwdefaults__", {"decoder": pillow})
    monkeypatch.setattr(reading, "check_decoder", lambda *_: None)
    monkeypatch.setattr("tasks.extract.check_decoder", lambda *_: None)
    config = CONFIG.replace(device="cpu", dtype="float32")
    found, failed = stored(pictures, str(tmp_path / "gpu"), config)
    expected, failed_before = stored(
        pictures, str(tmp_path / "pillow"), config.replace(decoder="pillow")
    )
    assert failed == failed_before == {"5.jpg", "6.jpg"}
    assert list(found) == list(expected)
    for name, maps in expected.items():
        assert np.abs(found[name] - maps).max() < 0.05 * np.abs(maps).max(), name


def test_without_a_gpu_the_setting_is_refused_before_a_store_is_made(
    pictures: Path, tmp_path: Path
) -> None:
    model = load_model("test_vit", "random", device="cpu", precision="float32")
    with pytest.raises(ValueError, match="needs an NVIDIA GPU, and this process works on cpu"):
        reading.check_decoder(CONFIG, model)
    with pytest.raises(ValueError, match="bilinear or bicubic; got lanczos"):
        CONFIG.replace(interpolation="lanczos")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_nvjpeg_gives_what_pillow_gives(pictures: Path) -> None:
    names = ["0.jpg", "1.jpg", "3.jpg"]
    files = [(pictures / name).read_bytes() for name in names]
    headers = [jpeg_header(data, "a") for data in files]
    encoded = [Encoded(d, h) for d, h in zip(files, headers, strict=True) if h is not None]
    grids = [
        plan_grid(*e.header.upright, patch=8, stride=(8, 8), size=40, fit="square") for e in encoded
    ]
    expected = decode_jpegs(encoded, grids, "bicubic", "cpu", decoder=pillow)
    found = decode_jpegs(encoded, grids, "bicubic", "cuda")
    for one, other in zip(found, expected, strict=True):
        assert one is not None
        assert other is not None
        assert (one.cpu().int() - other.int()).abs().float().mean() < 2
