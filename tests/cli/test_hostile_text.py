"""Model text, paths and option values reach the terminal as text, whatever they hold."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ucoder.runs import Run

MARKUP = "[/INST] [a/b] [red] [link=x] :smile: {0} %s"
CONTROL = "\x1b[31m \x1b]0;title\x07 \x9b2J \x08 \u202e"
HOSTILE = f"{MARKUP} {CONTROL} \ud800 end"
NAME = "[_INST] [a_b] [red] [bold] :smile: \x1b[31m\x07\u202e"
"""The same kind of text, as far as a name of a file can hold it."""
COMMANDS_OBEYED_BY_TERMINALS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def ucoder(*arguments: str | Path | bytes, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command on hostile text, which must do no more than be printed."""
    done = subprocess.run(
        [sys.executable, "-m", "ucoder", *arguments],
        capture_output=True,
        text=True,
        encoding=environment.get("PYTHONIOENCODING", "utf-8"),
        env={**os.environ, "COLUMNS": "200", **environment},
    )
    for said in (done.stdout, done.stderr):
        assert "Traceback" not in said and "MarkupError" not in said, said
        assert not COMMANDS_OBEYED_BY_TERMINALS.search(said), ascii(said)
    return done


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a hostile name, whose model wrote hostile text wherever it writes text."""
    path = tmp_path_factory.mktemp("hostile") / NAME
    done = ucoder("run", "scripted", "consolidation.iterations=1", "-o", path)
    assert done.returncode == 0, done.stderr
    assert "[_INST] [a_b] [red] [bold] :smile: \\x1b[31m\\x07\\u202e" in done.stdout
    opened = Run.open(path)
    for attempt in opened.attempts.rows():
        problem = attempt.problem and replace(
            attempt.problem, title=HOSTILE, topic=HOSTILE, area=HOSTILE,
            statement=f"{HOSTILE}\n{attempt.problem.statement}", rating_summary=HOSTILE,
        )  # fmt: skip
        hostile = replace(attempt, problem=problem, topic=HOSTILE, detail=HOSTILE)
        opened.attempts.put(f"{attempt.index:06d}", [hostile])
    for suite in opened.suites.rows():
        inputs = tuple(replace(one, arguments=f"({HOSTILE!r},)") for one in suite.inputs)
        opened.suites.put(suite.problem_id, [replace(suite, inputs=inputs)])
    return path


ENCODINGS = pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])


@ENCODINGS
@pytest.mark.parametrize("command", ["status", "show", "report", "plan"])
def test_a_run_full_of_hostile_text_is_read(run: Path, command: str, encoding: str) -> None:
    done = ucoder(command, run, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert "[red]" in done.stdout


@ENCODINGS
def test_a_hostile_problem_is_shown_as_it_was_written(run: Path, encoding: str) -> None:
    problem = next(attempt.problem for attempt in Run.open(run).attempts.rows() if attempt.problem)
    done = ucoder("show", run, problem.id, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert MARKUP in done.stdout and "\\x1b[31m" in done.stdout and "\\x07" in done.stdout


@pytest.mark.parametrize(
    "locale", [{"LC_ALL": "C"}, {"LANG": "C", "LC_ALL": ""}, {"PYTHONUTF8": "0"}]
)
def test_a_terminal_without_unicode_shows_what_it_can(run: Path, locale: dict[str, str]) -> None:
    assert ucoder("show", run, **locale).returncode == 0
    assert ucoder("--help", PYTHONIOENCODING="ascii", **locale).returncode == 0


def test_examples_are_exported_to_a_file_of_any_name(run: Path, tmp_path: Path) -> None:
    for ending in ("jsonl", "parquet"):
        file = tmp_path / f"{NAME}.{ending}"
        assert "[red]" in ucoder("export", run, file).stdout
        assert file.is_file()


def test_a_study_of_a_hostile_run_goes_into_a_hostile_folder(run: Path, tmp_path: Path) -> None:
    done = ucoder("study", "selection", run, "-o", tmp_path / NAME)
    assert done.returncode == 0, done.stderr
    assert "[red]" in done.stdout


def test_topics_that_look_like_markup_are_topics(tmp_path: Path) -> None:
    topics = tmp_path / f"{NAME}.txt"
    topics.write_text(f"{MARKUP} {CONTROL}\n[/INST]: [a/b]\n[red]\n")
    path = tmp_path / "run"
    settings = ["consolidation.provider=none", "consolidation.iterations=1", "problems.n=2"]
    assert ucoder("run", "scripted", *settings, "--topics", topics, "-o", path).returncode == 0
    problem = next(attempt.problem for attempt in Run.open(path).attempts.rows() if attempt.problem)
    assert problem.topic.strip("[]")[:4] in ucoder("show", path, problem.id).stdout


BENCHMARK = """
from ucoder.engines.protocol import Prompt
from ucoder.evaluation.cutting import sanitize
from ucoder.evaluation.grading import by_tests
from ucoder.evaluation.protocol import Benchmark, Dataset, Task

async def grader(setting):
    return by_tests(setting, "tides", lambda task: "raise ValueError(task_id)")

BENCHMARK = Benchmark(
    name="tides",
    title={hostile!a},
    load=lambda path: Dataset((Task({hostile!a}, "The tide", "tide", {{}}),), {hostile!a}, "0"),
    prompt=lambda task: Prompt(task.text),
    program=lambda task, text, is_chat: sanitize(text, task.entry_point),
    grader=grader,
)
"""


def test_a_benchmark_with_hostile_names_is_scored_and_compared(tmp_path: Path) -> None:
    own, script = tmp_path / "[red] own.py", tmp_path / "[a] script.yaml"
    own.write_text(BENCHMARK.format(hostile=f"{MARKUP} {CONTROL}"))
    script.write_text("rules: [{when: [tide], answers: ['def tide(x): return x']}]")
    folder = tmp_path / NAME
    done = ucoder(
        "eval", "scripted", "--engine", "scripted", "--set", f"engine.script={script}",
        "-b", own, "-o", folder, UCODER_CACHE=str(tmp_path / "[/cache]"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "[/INST] [a/b] [red] [link=x] :smile: {0} %s" in done.stdout
    shutil.copytree(folder, tmp_path / "[b]")
    compared = " ".join(ucoder("compare", folder, tmp_path / "[b]").stdout.split())
    assert "[b] against" in compared and "[red] [bold]" in compared


@pytest.mark.parametrize(
    "command",
    [
        ["run", "{}"],
        ["run", "scripted", "{}"],
        ["run", "scripted", "{}=1"],
        ["run", "scripted", "--topics", "{}"],
        ["run", "scripted", "-o", "/dev/null/{}"],
        ["plan", "{}"],
        ["plan", "demo", "--tokens-per-s", "{}"],
        ["plan", "demo", "--rates", "{}"],
        ["plan", "demo", "--like", "{}"],
        ["resume", "{}"],
        ["status", "{}"],
        ["show", "{}", "{}"],
        ["show", "{}", "{}", "{}"],
        ["eval", "{}", "-b", "{}"],
        ["eval", "{}", "--k", "{}"],
        ["eval", "{}", "--data", "{}", "--engine", "{}"],
        ["eval", "--samples", "{}"],
        ["compare", "{}", "{}"],
        ["export", "{}", "{}"],
        ["export", "{}", "{}.jsonl"],
        ["report", "{}"],
        ["doctor", "{}"],
        ["doctor", "execution", "--provider", "{}"],
        ["doctor", "rates", "--config", "{}"],
        ["study", "selection", "{}"],
        ["study", "adversary", "{}", "-s", "{}"],
        ["{}"],
    ],
)
def test_a_wrong_argument_is_quoted_and_not_obeyed(command: list[str]) -> None:
    value = f"{MARKUP} {CONTROL}"
    done = ucoder(*(part.replace("{}", value) for part in command))
    assert done.returncode in (1, 2)
    said = done.stderr.replace("\\\\", "\\")  # Python quotes what it quotes once more
    assert "[/INST]" in said and "\\x1b[31m" in said


@pytest.mark.parametrize("value", ["a[/b]", "lr[high]", "[bold]x", "\x1b[31mred", "\x07"])
def test_a_run_directory_may_have_any_name(tmp_path: Path, value: str) -> None:
    path = tmp_path / value
    done = ucoder("run", "scripted", "problems.n=1", "solutions.tau=12", "-o", path)
    shown = value.replace("\x1b", "\\x1b").replace("\x07", "\\x07")
    assert f"run: {tmp_path}/{shown}\n" in done.stdout
    assert "no problem has a program that consensus selects" in " ".join(done.stderr.split())


@pytest.mark.parametrize("name", [b"run\xff", b"\xc3\x28", b"\xed\xa0\x80 surrogate"])
def test_an_undecodable_path_is_said_to_be_one(run: Path, tmp_path: Path, name: bytes) -> None:
    path = os.fsencode(tmp_path) + b"/" + name
    shutil.copytree(os.fsencode(run), path)
    for command in (["show"], ["status"], ["report"], ["export", path], ["run", "scripted", "-o"]):
        done = ucoder(*command, path)
        assert done.returncode == 1
        assert "this path is undecodable" in done.stderr and "damaged" not in done.stderr.lower()


def test_a_table_in_an_undecodable_folder_is_not_called_damaged(run: Path, tmp_path: Path) -> None:
    from ucoder.errors import FileError

    path = os.fsencode(tmp_path) + b"/\xff"
    shutil.copytree(os.fsencode(run), path)
    with pytest.raises(FileError, match="undecodable"):
        Run.open(Path(os.fsdecode(path))).attempts.rows()
