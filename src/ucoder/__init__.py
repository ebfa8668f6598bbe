"""A code model improves itself, from nothing else: the open implementation of UCoder.

    config = ucoder.load_config("demo", ["problems.n=10"])
    run = ucoder.Run.create(Path("runs/mine"), config)
    await ucoder.run_pipeline(run)
    print(ucoder.summarise(run).scores)

The names below are the Python interface; each is imported when it is first used, so that importing
ucoder takes no time.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ucoder.analysis.summary import summarise
    from ucoder.components import Components
    from ucoder.config import RunConfig, load_config
    from ucoder.errors import UcoderError
    from ucoder.execution import open_executor
    from ucoder.pipeline import run_pipeline
    from ucoder.runs import Run

__version__ = "0.1.0"

_HOMES = {
    "Components": "ucoder.components",
    "Run": "ucoder.runs",
    "RunConfig": "ucoder.config",
    "UcoderError": "ucoder.errors",
    "load_config": "ucoder.config",
    "open_executor": "ucoder.execution",
    "run_pipeline": "ucoder.pipeline",
    "summarise": "ucoder.analysis.summary",
}

__all__ = [
    "Components",
    "Run",
    "RunConfig",
    "UcoderError",
    "load_config",
    "open_executor",
    "run_pipeline",
    "summarise",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'ucoder' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
