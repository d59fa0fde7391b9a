"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("PATCHFLOW_SHARED", Path(__file__).parents[2] / "shared"))


def _shared(folder: str) -> Path:
    path = SHARED / folder
    if not path.is_dir():
        pytest.skip(f"needs {folder}/ beside the repository (or set PATCHFLOW_SHARED)")
    return path


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of labelled data in official layouts."""
    return _shared("data")


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of numbers that the original implementations gave."""
    return _shared("golden")
