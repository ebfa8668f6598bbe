"""Bring a model into the cache, ready to run: `python -m ucoder.models [NAME_OR_PATH]`.

Prints where the checkpoint and its OpenVINO export are, and how long each step took.
"""

from __future__ import annotations

import argparse
import sys
import time

from ucoder.errors import UcoderError
from ucoder.models import load_catalog, openvino_export, resolve


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Resolve, export, report; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m ucoder.models", description=__doc__)
    parser.add_argument("model", nargs="?", default=load_catalog().default)
    model: str = parser.parse_args().model
    try:
        start_s = time.monotonic()
        checkpoint = resolve(model, notify=_tell)
        resolved_s = time.monotonic()
        export = openvino_export(checkpoint, notify=_tell)
        exported_s = time.monotonic()
    except UcoderError as error:
        _tell(f"{type(error).__name__}: {error}")
        return 1
    print(f"checkpoint  {checkpoint.path}  ({resolved_s - start_s:.1f} s)")
    print(f"sha256      {checkpoint.sha256}")
    print(f"openvino    {export}  ({exported_s - resolved_s:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
