"""The synthetic run of tests/analysis, for the report's tests too."""

from pathlib import Path
from types import ModuleType

import pytest

from ..scripts import load_script


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    return load_script(Path(__file__).parents[1] / "analysis" / "synthetic.py")
