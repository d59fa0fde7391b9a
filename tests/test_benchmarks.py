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
