"""Heavy packages: ask whether they are there before anything starts, and load them safely."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any

from ucoder.errors import MissingDependency


def require(purpose: str, *modules: str, extra: str = "cpu") -> None:
    """Check that modules can be found, without importing them.

    Args:
        purpose: what needs them, for the message.
        modules: their import names.
        extra: of ucoder, that installs them.

    Raises:
        MissingDependency: some are absent; the message names them and the install command.
    """
    missing = []
    for module in modules:
        try:
            found = importlib.util.find_spec(module) is not None
        except ModuleNotFoundError:  # the parent package of a dotted name is absent
            found = False
        if not found:
            missing.append(module)
    if missing:
        raise MissingDependency(
            f"{purpose} needs {', '.join(missing)}, not installed here; run: "
            f'pip install "ucoder[{extra}]"'
        )


def hide_broken_torchvision() -> None:
    """Let transformers work beside a torchvision that was built for another torch.

    optimum-intel depends on torchvision, and an index may pair a CPU torch with a CUDA torchvision.
    Importing that one fails (`operator torchvision::nms does not exist`), and transformers imports
    it for every text model as soon as it is installed. Nothing here looks at images, so a
    torchvision that cannot be imported is presented as absent. Call it before importing
    transformers; a torchvision that works is left alone.
    """
    if "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is None:
        return
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError, OSError):
        for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        sys.modules["torchvision"] = _ABSENT


# `None` in sys.modules is how the import system itself spells "not to be found".
_ABSENT: Any = None
