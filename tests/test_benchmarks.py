"""Benchmarks and drills run by hand: what they import of the project must exist all the same."""

import ast
import importlib
from pathlib import Path

import pytest

OURS = ("flows", "storage", "tasks")
HERE = Path(__file__).parent
FILES = sorted([*HERE.glob("benchmarks/*.py"), *HERE.glob("drills/*.py")])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_is_imported_exists(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in OURS:
            module = importlib.import_module(str(node.module))
            for name in node.names:
                if not hasattr(module, name.name):
                    importlib.import_module(f"{node.module}.{name.name}")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_is_imported_from_a_file_beside_is_defined_there(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and file.with_name(f"{node.module}.py") in FILES:
            beside = file.with_name(f"{node.module}.py")
            defined = {name for part in ast.parse(beside.read_text()).body for name in names(part)}
            assert {name.name for name in node.names} <= defined, beside.name


def names(part: ast.stmt) -> set[str]:
    """What a statement of a module's first level defines or imports."""
    if isinstance(part, ast.FunctionDef | ast.ClassDef):
        return {part.name}
    if isinstance(part, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in part.names}
    nodes = ast.walk(part) if isinstance(part, ast.Assign | ast.AnnAssign) else ()
    return {node.id for node in nodes if isinstance(node, ast.Name)}
