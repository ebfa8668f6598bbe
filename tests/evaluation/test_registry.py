"""From names to benchmarks: known names, close misspellings, and a user's own file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ucoder.config.evaluation import BENCHMARK_NAMES, check_benchmark_name
from ucoder.errors import BenchmarkError
from ucoder.evaluation.registry import (
    NAMES,
    check_copies,
    copy_of,
    find_benchmark,
    find_benchmarks,
    title_of,
)

OWN = """
from ucoder.engines.protocol import Prompt
from ucoder.evaluation.grading import by_tests
from ucoder.evaluation.protocol import Benchmark, Dataset, Task

async def grader(context):
    return by_tests(context, "{name}", lambda task: "assert tide(1) == 2")

BENCHMARK = Benchmark(
    name="{name}", title="Tides", load=lambda path: Dataset((), "own", ""),
    prompt=lambda task: Prompt(task.text), program=lambda task, text, is_chat: text, grader=grader,
)
"""


def own(tmp_path: Path, name: str) -> str:
    path = tmp_path / "own.py"
    path.write_text(OWN.replace("{name}", name))
    return str(path)


def test_the_configuration_knows_the_names_of_all_benchmarks() -> None:
    assert BENCHMARK_NAMES == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_known_name_has_a_benchmark_that_reports_under_it(name: str) -> None:
    benchmark = find_benchmark(name)
    assert benchmark.name == name and name in benchmark.scores
    assert title_of(name) == benchmark.title


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("humanevl", "humaneval"), ("mbpp++", "mbpp+"), ("livecodebensh", "livecodebench")],
)
def test_an_unknown_name_suggests_the_closest_one(wrong: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean {re.escape(near)}\\?"):
        check_benchmark_name(wrong)
    with pytest.raises(BenchmarkError, match="known: humaneval, "):
        find_benchmark(wrong)


def test_a_name_that_resembles_no_other_lists_all_names() -> None:
    with pytest.raises(ValueError) as caught:
        check_benchmark_name("zzz")
    fault = str(caught.value)
    assert "did you mean" not in fault and all(name in fault for name in NAMES)


def test_a_users_file_is_a_benchmark(tmp_path: Path) -> None:
    benchmark = find_benchmark(own(tmp_path, "tides"))
    assert (benchmark.name, benchmark.title, benchmark.scores) == ("tides", "Tides", ("tides",))
    assert title_of("tides") == "tides"


@pytest.mark.parametrize(
    ("name", "message"),
    [("mbpp", "is taken"), ("two words", "must be letters"), ("../up", "must be letters"),
     ("x" * 61, "must be letters")],
)  # fmt: skip
def test_a_users_benchmark_needs_a_name_of_its_own(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(BenchmarkError, match=message):
        find_benchmark(own(tmp_path, name))


@pytest.mark.parametrize("text", ["", "BENCHMARK = 3"])
def test_a_file_without_a_benchmark_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "own.py").write_text(text)
    with pytest.raises(BenchmarkError, match="defines no BENCHMARK"):
        find_benchmark(str(tmp_path / "own.py"))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="is not a file"):
        find_benchmark(str(tmp_path / "own.py"))


@pytest.mark.parametrize(
    ("names", "left"),
    [
        (["humaneval", "humaneval+"], ["humaneval+"]),
        (["mbpp+", "mbpp", "mbpp+"], ["mbpp+"]),
        (["humaneval", "mbpp+"], ["humaneval", "mbpp+"]),
        (["bigcodebench-complete", "bigcodebench-complete-hard"],
         ["bigcodebench-complete", "bigcodebench-complete-hard"]),
    ],
)  # fmt: skip
def test_a_benchmark_whose_scores_another_gives_too_is_not_run(
    names: list[str], left: list[str]
) -> None:
    assert [one.name for one in find_benchmarks(names)] == left


@pytest.mark.parametrize("name", NAMES)
def test_a_title_is_known_without_loading_the_benchmark(name: str) -> None:
    assert title_of(name) == find_benchmark(name).title


def test_two_files_that_define_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    files = [own(tmp_path, "tides"), own(tmp_path / "other", "tides")]
    with pytest.raises(BenchmarkError, match="both define a benchmark of the name 'tides'"):
        find_benchmarks(files)
    assert len(find_benchmarks([files[0], own(tmp_path / "other", "ebb")])) == 2


def test_a_copy_of_the_data_is_found_by_name_and_by_file(tmp_path: Path) -> None:
    tides, copy = find_benchmark(own(tmp_path, "tides")), tmp_path / "data"
    for name in ("tides", str(tmp_path / "own.py"), str(tmp_path / "x" / ".." / "own.py")):
        assert copy_of(tides, {"other": tmp_path, name: copy}) == copy
        check_copies({name: copy}, [tides])
    assert copy_of(tides, {"own": copy}) is None


@pytest.mark.parametrize(
    ("data", "asked", "message"),
    [
        (["foo"], ["humaneval"], "foo is not asked, only humaneval; write humaneval=F"),
        (["humanevl"], ["mbpp", "humaneval"], "write humaneval=F"),
        (["humaneval"], ["humaneval", "humaneval+"], "write humaneval+=F"),
        (["mbpp"], [], "mbpp is not asked"),
    ],
)
def test_a_copy_for_a_benchmark_that_is_not_asked_is_refused(
    data: list[str], asked: list[str], message: str
) -> None:
    copies = dict.fromkeys(data, Path("F"))
    with pytest.raises(BenchmarkError, match=re.escape(message)):
        check_copies(copies, find_benchmarks(asked))
    check_copies(copies, find_benchmarks(asked), others=data)
