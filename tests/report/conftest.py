"""The synthetic run of tests/analysis, for the report's tests too."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    # The test folders are separate packages, so the builder is loaded by its path.
    path = Path(__file__).parents[1] / "analysis" / "synthetic.py"
    spec = importlib.util.spec_from_file_location("synthetic_run", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["synthetic_run"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
