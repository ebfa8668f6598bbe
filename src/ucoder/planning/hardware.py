"""What this machine is called, so that rates of one are not taken for those of another."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path


def hardware_name() -> str:
    """Its GPUs and processor, such as `1 x NVIDIA H100 80GB HBM3, AMD EPYC 9R14, 16 cores`."""
    gpus = _gpus()
    named = [f"{gpus.count(name)} x {name}" for name in dict.fromkeys(gpus)]
    return ", ".join([*named, _processor(), f"{os.cpu_count()} cores"])


def _gpus() -> list[str]:
    """NVIDIA's, asked without loading torch; none where its tool is not there or fails."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        answer = subprocess.run(
            [tool, "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return []
    return answer.stdout.splitlines() if answer.returncode == 0 else []


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        text = ""
    names = [line.split(":", 1)[1] for line in text.splitlines() if line.startswith("model name")]
    return " ".join(names[0].split()) if names else platform.processor() or platform.machine()
