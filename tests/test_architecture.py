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
         "datasets", "ray", "vllm", "matplotlib", "pandas", "openai")  # fmt: skip
LIGHT = ("ucoder", "ucoder.consensus", "ucoder.consensus.selection", "ucoder.execution",
         "ucoder.records", "ucoder.stages.solutions", "ucoder.pipeline", "ucoder.cli.app",
         "ucoder.models", "ucoder.engines.protocol", "ucoder.analysis.summary",
         "ucoder.report", "ucoder.evaluation.registry", "ucoder.evaluation.running",
         "ucoder.planning", "ucoder.scale.local", "ucoder.scale.ray", "ucoder.scale.training",
         "ucoder.engines.vllm", "ucoder.engines.openai", "ucoder.studies.selection",
         "ucoder.studies.pools")  # fmt: skip


@pytest.mark.parametrize("module", LIGHT)
def test_importing_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def imports_of(module: Path, for_types: bool = True) -> set[str]:
    """The modules of ucoder that a module imports, inside of functions too.

    Args:
        module: The file.
        for_types: Whether imports under `if TYPE_CHECKING:` count.
    """
    found = set()
    tree = ast.parse(module.read_text("utf-8"))
    if not for_types:
        tree.body = [node for node in tree.body if not isinstance(node, ast.If)]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.split(".")[0] == "ucoder"}


# From the ground up. A room imports from the floors below its own, never from its own or above.
FLOORS = (
    {"errors", "progress"},
    {"execution", "files", "texts", "visible"},
    {"runtime"},
    {"records", "similarity"},
    {"config", "models", "seeds"},
    {"consensus", "engines"},
    {"evaluation", "inputs", "training"},
    {"given", "programs", "runs"},
    {"analysis", "stages"},
    {"attempts", "pairs", "planning", "studies"},
    {"scale"},
    {"components"},
    {"changes", "requirements", "steps"},
    {"pipeline"},
    {"report"},
    {"cli"},
)


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def rooms() -> set[str]:
    public = {path.stem for path in SOURCE.iterdir() if not path.name.startswith("__")}
    return public - {"presets", "py"}


def test_every_room_has_a_floor() -> None:
    floors = [room for floor in FLOORS for room in floor]
    assert sorted(floors) == sorted(rooms())


@pytest.mark.parametrize("room", sorted(room for floor in FLOORS for room in floor))
def test_a_room_imports_from_the_floors_below_it_alone(room: str) -> None:
    floor_of = {name: number for number, floor in enumerate(FLOORS) for name in floor}
    place = SOURCE / room
    for module in place.rglob("*.py") if place.is_dir() else [SOURCE / f"{room}.py"]:
        for name in imports_of(module):
            other = room_of(name)
            if other and other != room and name != "ucoder.__version__":
                assert floor_of[other] < floor_of[room], f"{module.name} imports {name}"


def test_no_circle_of_imports() -> None:
    """Among modules as well as rooms, also inside functions; imports for types alone may."""
    names = {
        ".".join(("ucoder", *path.relative_to(SOURCE).with_suffix("").parts)): path
        for path in SOURCE.rglob("*.py")
        if path.name not in ("__init__.py", "__main__.py")
    }
    imports = {
        name: imports_of(path, for_types=False) & names.keys() for name, path in names.items()
    }
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above[above.index(name) :], name))
        if name not in done:
            for other in sorted(imports[name]):
                visit(other, (*above, name))
            done.add(name)

    for name in sorted(imports):
        visit(name, ())


def test_a_class_name_means_one_thing_in_the_whole_package() -> None:
    found: dict[str, list[str]] = {}
    for module in SOURCE.rglob("*.py"):
        for node in ast.parse(module.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(str(module.relative_to(SOURCE)))
    assert {name: places for name, places in found.items() if len(places) > 1} == {}


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


def test_commands_print_and_wait_in_the_one_way_that_holds_for_all() -> None:
    """Untrusted text stays text on `PlainConsole`; Ctrl-C ends what `Interrupts.run` runs."""
    for module in (SOURCE / "cli").glob("*.py"):
        text = module.read_text("utf-8")
        assert module.name == "interrupts.py" or "asyncio.run(" not in text, module
        assert " Console(" not in text and "Text.from_markup" not in text, module
