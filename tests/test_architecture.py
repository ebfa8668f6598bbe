"""The house: what may import what, and what importing costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ucoder

SOURCE = Path(ucoder.__file__).parent
HEAVY = ("torch", "transformers", "openvino", "openvino_genai", "optimum", "trl", "peft",
         "datasets", "ray", "vllm", "matplotlib", "pandas")  # fmt: skip
LIGHT = ("ucoder", "ucoder.consensus", "ucoder.consensus.selection", "ucoder.execution",
         "ucoder.records", "ucoder.stages.solutions", "ucoder.pipeline", "ucoder.cli.app",
         "ucoder.models", "ucoder.engines.protocol", "ucoder.analysis.summary",
         "ucoder.report", "ucoder.evaluation.registry", "ucoder.evaluation.running",
         "ucoder.planning", "ucoder.scale.local", "ucoder.scale.ray", "ucoder.scale.training",
         "ucoder.engines.vllm", "ucoder.engines.openai")  # fmt: skip


@pytest.mark.parametrize("module", LIGHT)
def test_importing_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def imports_of(module: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.split(".")[0] == "ucoder"}


FORBIDDEN = {
    "records.py": ("ucoder.config", "ucoder.stages", "ucoder.runs", "ucoder.engines"),
    "execution": ("ucoder.records", "ucoder.config", "ucoder.stages", "ucoder.engines",
                  "ucoder.runs"),
    "consensus": ("ucoder.stages", "ucoder.runs", "ucoder.engines", "ucoder.analysis"),
    "analysis": ("ucoder.stages", "ucoder.engines", "ucoder.report", "ucoder.cli",
                 "ucoder.pipeline"),
    "stages": ("ucoder.runs", "ucoder.pipeline", "ucoder.steps", "ucoder.cli", "ucoder.models"),
    "engines": ("ucoder.stages", "ucoder.runs", "ucoder.config", "ucoder.cli"),
    "training": ("ucoder.stages", "ucoder.runs", "ucoder.cli", "ucoder.engines"),
    "models": ("ucoder.stages", "ucoder.runs", "ucoder.cli", "ucoder.engines", "ucoder.config"),
    "runs": ("ucoder.stages", "ucoder.engines", "ucoder.models", "ucoder.cli"),
    "evaluation": ("ucoder.steps", "ucoder.pipeline", "ucoder.cli", "ucoder.report",
                   "ucoder.config", "ucoder.stages", "ucoder.runs", "ucoder.components"),
    "bounded.py": ("ucoder",),
    "planning": ("ucoder.engines", "ucoder.cli", "ucoder.pipeline", "ucoder.steps",
                 "ucoder.report", "ucoder.components", "ucoder.scale"),
    "scale": ("ucoder.cli", "ucoder.pipeline", "ucoder.steps", "ucoder.report", "ucoder.analysis"),
}  # fmt: skip


@pytest.mark.parametrize("room", FORBIDDEN)
def test_imports_point_one_way(room: str) -> None:
    place = SOURCE / room
    for module in [place] if place.is_file() else place.rglob("*.py"):
        for name in imports_of(module):
            assert not name.startswith(FORBIDDEN[room]), f"{module.name} imports {name}"


def test_the_executor_stands_by_itself() -> None:
    for module in (SOURCE / "execution").rglob("*.py"):
        allowed = ("ucoder.execution", "ucoder.errors")
        assert all(name.startswith(allowed) for name in imports_of(module)), module
    # Without any installed package: isolated, and without site-packages.
    code = (
        f"import sys; sys.path.insert(0, {str(SOURCE.parent)!r}); "
        "from ucoder.execution import open_executor; "
        "import ucoder.execution.conformance; print(open_executor().name)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("auto", "")


def test_only_the_command_line_knows_the_report() -> None:
    for module in SOURCE.rglob("*.py"):
        if module.parent.name not in ("report", "cli"):
            assert not any(name.startswith("ucoder.report") for name in imports_of(module)), module


def test_the_pipeline_fits_on_a_screen() -> None:
    assert len((SOURCE / "pipeline.py").read_text("utf-8").splitlines()) <= 80


def test_a_benchmark_knows_no_other_and_nothing_of_running_them() -> None:
    """Adding one is a module by itself; what belongs to all of them is not in one's hands."""
    for module in (SOURCE / "evaluation" / "benchmarks").glob("*.py"):
        for name in imports_of(module):
            owners = ("registry", "running", "ledger", "statistics", "contamination", "samples")
            forbidden = tuple(f"ucoder.evaluation.{owner}" for owner in owners)
            assert not name.startswith(forbidden), f"{module.name} imports {name}"
