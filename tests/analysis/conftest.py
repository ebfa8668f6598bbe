from pathlib import Path

import pytest

from ucoder.runs import Run

from .synthetic import build


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The synthetic run, done; nobody writes to it."""
    return build(Path(tmp_path_factory.mktemp("runs")) / "finished")
