"""What a task's own solution says about the task, and what of that is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ucoder.evaluation.protocol import Grade
from ucoder.evaluation.records import GradeReason
from ucoder.evaluation.reference_checks import ReferenceChecks, environment_fingerprint
from ucoder.execution.outcomes import CheckReport, Verdict


class Runs:
    """Reports to give, one a run, and how many were asked for."""

    def __init__(self, *reports: CheckReport) -> None:
        self.reports, self.n = list(reports), 0

    async def __call__(self) -> CheckReport:
        self.n += 1
        await asyncio.sleep(0)
        return self.reports.pop(0) if len(self.reports) > 1 else self.reports[0]


PASSED = CheckReport(Verdict.PASSED)


def failed(detail: str) -> CheckReport:
    return CheckReport(Verdict.FAILED, detail)


async def ask(folder: Path, run: Callable[[], Awaitable[CheckReport]], *more: str) -> Grade | None:
    """As a new process would."""
    return await ReferenceChecks(folder, *(more or ("data", "environment"))).verdict("t/1", run)


async def test_a_solution_runs_once_however_many_programs_wait_for_it(tmp_path: Path) -> None:
    checks, runs = ReferenceChecks(tmp_path, "data", "environment"), Runs(PASSED)
    asked = [checks.verdict("t/1", runs) for _ in range(20)]
    assert await asyncio.gather(*asked) == [None] * 20
    assert runs.n == 1


async def test_a_pass_outlives_the_process_but_not_the_environment(tmp_path: Path) -> None:
    runs = Runs(PASSED)
    assert await ask(tmp_path, runs) is None
    assert await ask(tmp_path, runs) is None and runs.n == 1
    await ask(tmp_path, runs, "data", "another environment")
    await ask(tmp_path, runs, "other data", "environment")
    assert runs.n == 3


@pytest.mark.parametrize(
    "detail", ["AssertionError: 1.5.0 needed", "ModuleNotFoundError: No module named 'x'", "no net"]
)
async def test_a_failure_is_tried_again_by_the_next_process(tmp_path: Path, detail: str) -> None:
    runs = Runs(failed(detail), PASSED)
    checks = ReferenceChecks(tmp_path, "data", "environment")
    assert await checks.verdict("t/1", runs) == await checks.verdict("t/1", runs) is not None
    assert await ask(tmp_path, runs) is None and runs.n == 2


async def test_failures_that_an_earlier_version_kept_are_tried_again(tmp_path: Path) -> None:
    await ask(tmp_path, Runs(PASSED))
    (file,) = tmp_path.glob("references-*.jsonl")
    file.write_text(file.read_text().replace('"passed"', '"missing_library"'))
    runs = Runs(PASSED)
    assert await ask(tmp_path, runs) is None and runs.n == 1


@pytest.mark.parametrize(
    ("detail", "reason"),
    [
        ("ModuleNotFoundError: No module named 'x'", GradeReason.MISSING_LIBRARY),
        ("ImportError: Missing optional dependency 'y'.", GradeReason.MISSING_LIBRARY),
        ("ImportError: lxml not installed", GradeReason.MISSING_LIBRARY),
        ("ImportError: cannot import name 'a' from 'b'", GradeReason.REFERENCE_FAILS),
        ("URLError: no network", GradeReason.REFERENCE_FAILS),
    ],
)
async def test_a_missing_library_is_told_apart(
    tmp_path: Path, detail: str, reason: GradeReason
) -> None:
    grade = await ask(tmp_path, Runs(failed(detail)))
    assert grade is not None and grade.reason is reason and grade.passed is None
    assert detail in grade.detail


async def test_timeouts_and_sandbox_failures_are_not_kept(tmp_path: Path) -> None:
    runs = Runs(CheckReport(Verdict.SANDBOX_FAILED, "lost"), CheckReport(Verdict.TIMED_OUT), PASSED)
    checks = ReferenceChecks(tmp_path, "data", "environment")
    reasons = [grade and grade.reason for grade in [await checks.verdict("t/1", runs)]]
    assert reasons == [GradeReason.SANDBOX_FAILED]  # asked again by the next program
    for _ in range(2):  # not asked again in this run
        grade = await checks.verdict("t/1", runs)
        assert grade is not None and grade.reason is GradeReason.REFERENCE_FAILS
    assert await ask(tmp_path, runs) is None
    assert runs.n == 3


async def test_a_torn_line_costs_itself_alone(tmp_path: Path) -> None:
    await ask(tmp_path, Runs(PASSED))
    (file,) = tmp_path.glob("references-*.jsonl")
    file.write_bytes(file.read_bytes() + b'\n{"task_id": "t/2", "reas')
    checks, runs = ReferenceChecks(tmp_path, "data", "environment"), Runs(PASSED)
    await checks.verdict("t/1", runs)
    assert runs.n == 0
    await checks.verdict("t/2", runs)
    again = ReferenceChecks(tmp_path, "data", "environment")
    await again.verdict("t/1", runs)
    await again.verdict("t/2", runs)
    assert runs.n == 1


@pytest.mark.parametrize("line", ["[]", "3", "null", '{"task_id": 1}', "[" * 100_000, '"\\ud800"'])
async def test_an_unreadable_file_holds_no_results(tmp_path: Path, line: str) -> None:
    await ask(tmp_path, Runs(PASSED))
    (file,) = tmp_path.glob("references-*.jsonl")
    file.write_text(line)
    runs = Runs(PASSED)
    assert await ask(tmp_path, runs) is None and runs.n == 1


def test_an_environment_is_its_distributions(tmp_path: Path) -> None:
    empty = environment_fingerprint([tmp_path])
    info = tmp_path / "library-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: library\nVersion: 1.0\n")
    one = environment_fingerprint([tmp_path])
    (info / "METADATA").write_text("Name: library\nVersion: 1.1\n")
    assert len({empty, one, environment_fingerprint([tmp_path]), environment_fingerprint([])}) == 3
    assert environment_fingerprint([]) == empty
