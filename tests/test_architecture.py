"""The house rules that a program can check."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.application.use_cases import lint_imports
from importlinter.configuration import configure

ROOT = Path(__file__).parents[1]
PACKAGES = ("flows", "tasks", "storage")
FILES = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
OPS = sorted((ROOT / "tasks" / "ops").glob("*.py"))


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_import_contracts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(ROOT)
    configure()
    passed = lint_imports(config_filename=str(ROOT / "pyproject.toml"), cache_dir=None)
    report = capsys.readouterr().out
    assert passed, report
    assert "5 kept, 0 broken" in report


def test_ops_load_no_orchestration_storage_or_settings_library() -> None:
    modules = [f"tasks.ops.{path.stem}" for path in OPS if path.stem != "__init__"]
    code = (
        f"import importlib, sys\nfor name in {modules!r}:\n    importlib.import_module(name)\n"
        "print(' '.join(sorted({name.split('.')[0] for name in sys.modules})))\n"
        "print(' '.join(name for name in sys.modules if name.startswith(('tasks.', 'storage'))))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded, ours = (set(line.split()) for line in run.stdout.splitlines())
    banned = {"prefect", "prefect_dask", "dask", "distributed", "zarr", "pydantic", "flows"}
    assert not loaded & (banned | {"storage"})
    assert all(name == "tasks.ops" or name.startswith("tasks.ops.") for name in ours)


@pytest.mark.parametrize("package", ["tasks", "tasks/ops", "storage", "flows"])
def test_packages_hold_a_docstring_only(package: str) -> None:
    (node,) = ast.parse((ROOT / package / "__init__.py").read_text()).body
    assert isinstance(node, ast.Expr)
    assert isinstance(node.value, ast.Constant)


def test_files_are_short() -> None:
    sizes = {str(path.relative_to(ROOT)): lines(path) for path in FILES}
    median = sorted(sizes.values())[len(sizes) // 2]
    assert median <= 150
    # Few above 250, none twice as long.
    long = {name: size for name, size in sizes.items() if size > 250}
    assert len(long) <= len(sizes) // 10, long
    assert max(sizes.values()) <= 400, long


def test_functions_are_short() -> None:
    sizes = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                start = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node
                sizes.append(((node.end_lineno or 0) - start.lineno + 1, f"{path}:{node.name}"))
    sizes.sort()
    assert sizes[len(sizes) // 2][0] <= 12
    assert sizes[-1][0] <= 70, sizes[-3:]


def test_no_package_marker_below_tests() -> None:
    # tests/tasks/__init__.py would shadow our own `tasks`.
    assert list((ROOT / "tests").rglob("__init__.py")) == []
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))


def test_no_drawer_for_everything() -> None:
    assert not [path for path in FILES if path.stem in ("utils", "helpers", "common", "misc")]


def test_users_are_never_answered_by_assert() -> None:
    # An invariant of our own may be asserted where the line says why.
    bare = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assert)
        and "noqa: S101 - " not in path.read_text().splitlines()[node.lineno - 1]
    ]
    assert bare == []
