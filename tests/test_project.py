"""The files around the code do what they say: Makefile, CI, Dockerfile, the list of slow tests."""

from __future__ import annotations

import fnmatch
import re
import subprocess
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
INSTRUCTIONS = {"ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "FROM", "RUN", "USER", "WORKDIR"}


def dockerfile() -> list[list[str]]:
    """Every instruction as its words; continued lines are joined, comments left out."""
    text = (ROOT / "Dockerfile").read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return [line.split() for line in "\n".join(lines).replace("\\\n", " ").splitlines() if line]


def test_the_dockerfile_holds_known_instructions_and_ends_as_an_ordinary_user() -> None:
    names = [words[0] for words in dockerfile()]
    assert names[0] == "FROM"
    assert set(names) <= INSTRUCTIONS
    assert [words[1] for words in dockerfile() if words[0] == "USER"] == ["ucoder"]
    assert names.index("USER") > max(i for i, name in enumerate(names) if name == "RUN")


def test_what_the_dockerfile_copies_exists_and_is_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    kept = [line[1:] for line in ignored if line.startswith("!")]
    assert "*" in ignored
    stages = {words[3] for words in dockerfile() if words[0] == "FROM" and "AS" in words}
    for words in dockerfile():
        if words[0] != "COPY":
            continue
        if words[1].startswith("--from="):
            assert words[1].removeprefix("--from=") in stages
            continue
        for source in words[1:-1]:
            assert (ROOT / source).exists(), source
            assert any(fnmatch.fnmatch(source, pattern) for pattern in kept), source


def test_the_extras_that_the_dockerfile_installs_exist() -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (extras,) = re.findall(r"whl\)\[([a-z,]+)\]", (ROOT / "Dockerfile").read_text("utf-8"))
    assert set(extras.split(",")) <= set(known["optional-dependencies"])


def test_the_workflow_runs_what_anyone_can_run_on_the_oldest_supported_python() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step][-1] == ".ci/run"
    (python,) = (step["with"] for step in job["steps"] if "setup-python" in step.get("uses", ""))
    assert python["python-version"] == "3.11"
    assert python["cache"] == "pip"
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_ci_checks_and_runs_all_tests() -> None:
    assert "make check test test-all" in (ROOT / ".ci" / "run").read_text("utf-8")


def test_make_help_lists_every_target_in_a_group() -> None:
    said = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    targets = set(re.findall(r"^([a-z][a-z-]*):(?!=)", MAKEFILE, re.MULTILINE))
    assert targets == set(re.findall(r"^  ([a-z-]+) ", said, re.MULTILINE))
    assert {"Setup", "Use", "Check"} <= set(said.splitlines())


def test_every_target_that_is_not_a_file_is_phony() -> None:
    joined = MAKEFILE.replace("\\\n", " ")
    variables = dict(re.findall(r"^([A-Z_]+) := (.*)$", joined, re.MULTILINE))
    phony = " ".join(re.findall(r"^\.PHONY: (.*)$", joined, re.MULTILINE))
    for name, value in variables.items():
        phony = phony.replace(f"$({name})", value)
    assert set(re.findall(r"^([a-z][a-z-]*):(?!=)", MAKEFILE, re.MULTILINE)) == set(phony.split())


def test_no_recipe_stands_in_the_makefile_twice() -> None:
    recipes = re.findall(r"(?:^\t.*\n)+", MAKEFILE, re.MULTILINE)
    assert len(recipes) == len(set(recipes))


def test_the_list_of_slow_tests_names_files_that_exist() -> None:
    text = (ROOT / "tests" / "conftest.py").read_text("utf-8")
    block = text[text.index("SLOW = (") : text.index("MAKE_TINY")]
    places = re.findall(r'^    "([^"]+)"', block, re.MULTILINE)
    assert len(places) > 5
    assert all((ROOT / "tests" / place).exists() for place in places)
