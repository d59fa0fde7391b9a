"""A dry run tells what a run will do, and writes nothing."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storage.descriptors import DescriptorStore
from storage.images import list_images
from tasks.config import ExtractConfig
from tasks.cost import operations
from tasks.describe import model_of
from tasks.extract import write_partition
from tasks.forecast import forecast
from tasks.plan import plan_extraction

TINY = ExtractConfig(
    model="test_vit", weights="random", layer=3, facet="key", stride=8, size=64,
    precision="float32", batch=2, partition_size=2,
)  # fmt: skip


@pytest.fixture
def pictures(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, size in enumerate([(64, 64), (64, 64), (64, 64), (96, 64)]):
        pixels = rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "bad.png").write_bytes(b"text")
    return str(folder)


def test_a_forecast_counts_what_the_run_then_does(pictures: str, tmp_path: Path) -> None:
    url = str(tmp_path / "store")
    told = forecast(pictures, url, TINY)
    assert not Path(url).exists()
    assert (told.images, told.partitions, told.unreadable) == (4, 3, 1)
    assert told.tried
    assert told.seconds is not None
    assert told.seconds > 0
    assert sum(count for _, count in told.grids) == 4

    plan = plan_extraction(list_images(pictures), pictures, url, TINY)
    store = DescriptorStore.open(url)
    reports = [write_partition(store, part, plan.config) for part in plan.partitions]
    assert told.bytes == sum(report.bytes for report in reports)
    assert told.partitions == len(reports)
    written = [f for part in ("partitions", "commits") for f in (Path(url) / part).rglob("*")]
    assert told.objects == sum(f.is_file() for f in written)
    assert told.reads == 4

    again = forecast(pictures, url, TINY)
    assert (again.images, again.unchanged, again.bytes) == (0, 4, 0)
    assert again.seconds == 0
    more = Path(pictures) / "more.png"
    more.write_bytes((Path(pictures) / "0.png").read_bytes())
    later = forecast(pictures, url, TINY)
    assert later.images == 1
    assert later.seconds is not None
    assert later.seconds > 0
    assert any("1 to compute, 4 stored" in line for line in later.lines)


def test_projected_memory_does_not_depend_on_the_number_of_images(
    pictures: str, tmp_path: Path
) -> None:
    few = forecast(pictures, str(tmp_path / "a"), TINY.replace(partition_size=2))
    for number in range(10):
        copy = Path(pictures) / f"copy{number}.png"
        copy.write_bytes((Path(pictures) / "0.png").read_bytes())
    many = forecast(pictures, str(tmp_path / "b"), TINY.replace(partition_size=2))
    assert many.images == few.images + 10
    assert abs(many.memory - few.memory) < 50e6


def test_operations_by_hand() -> None:
    model = model_of(TINY)  # 6 layers of 64 channels; the saliency needs all of them
    # 4 patches and CLS: 24 x 5 x 64^2 in the linears, 4 x 5^2 x 64 in attention, at 1.7.
    assert operations(TINY, model, (2, 2)) == 6 * (491_520 + 1.7 * 6_400)
    early = TINY.replace(saliency_layer=0)
    assert operations(early, model, (2, 2)) == 4 * (491_520 + 1.7 * 6_400)
