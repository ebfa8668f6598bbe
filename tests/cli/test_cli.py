"""The command line on a real (scripted) run: what a user types and what comes back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest


def ucoder(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ucoder", *arguments], capture_output=True, text=True
    )


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
    assert "add_two" in listing
    problem = next(line.split()[1] for line in listing.splitlines() if "add_two" in line)
    shown = ucoder("show", str(run), problem).stdout
    assert "cluster 1 (selected)" in shown
    assert "return a + b" in shown or "total += b" in shown
    assert "candidates with equal answers" in " ".join(shown.split())
    missing = ucoder("show", str(run), "zzz")
    assert missing.returncode == 1
    assert "0 problems" in missing.stderr


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
    assert "no problem reached a consensus" in " ".join(done.stderr.split())
    status = json.loads(ucoder("status", str(tmp_path / "run"), "--json").stdout)
    assert status["iterations"][0]["not_selected"] == {"no_consensus": 5}


def test_help_teaches() -> None:
    shown = ucoder("--help").stdout
    for name in ("run", "resume", "status", "show", "eval", "export", "report", "doctor"):
        assert name in shown
    assert "ucoder run demo" in ucoder("run", "--help").stdout


def test_doctor_attacks_the_sandbox_and_says_which_it_took() -> None:
    done = ucoder("doctor", "--execution", "--provider", "unsafe-process")
    assert done.returncode == 0, done.stdout
    assert "not claimed" in done.stdout and "does not hold" not in done.stdout
    assert "provider: unsafe-process" in done.stdout


def test_doctor_gives_its_findings_as_json() -> None:
    done = ucoder("doctor", "--execution", "--provider", "unsafe-process", "--json")
    findings = json.loads(done.stdout)
    held = {finding["property"]: finding["held"] for finding in findings}
    assert held["time"] is True and held["network"] is None
    assert {finding["provider"] for finding in findings} == {"unsafe-process"}


def test_doctor_refuses_options_that_would_do_nothing() -> None:
    assert ucoder("doctor", "--full").returncode == 2
