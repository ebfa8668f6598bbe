"""Does a task's own solution pass here? Asked once a task, before any program is judged on it.

Benchmarks whose tasks use libraries (BigCodeBench, FullStackBench) can only be run as far as the
machine has these libraries, their versions, a network and so on. What a model wrote is no witness:
it may import modules that never existed. So a task's published solution goes through the same
harness first. Where it passes, the task can be run; where it does not, no program's verdict on
that task says anything, and every one is "not run", never "failed".

    checks = ReferenceChecks(context.cache, context.dataset.sha256, fingerprint)
    not_run = await checks.verdict(task.id, lambda: context.executor.check(reference_script))
    if not_run is not None:
        return {name: not_run}

Answers are kept in one file of JSON lines for each data set and environment, one line appended as
soon as it is known. Kept are those that will be the same next time: that a solution passed, or
failed by itself. A sandbox that failed and a solution that ran out of time may do better when the
machine is less busy, so these are asked again: the first by the next program, the second by the
next run.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import platform
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from importlib.metadata import distributions
from pathlib import Path
from typing import Final

from ucoder.evaluation.grading import PASSED
from ucoder.evaluation.protocol import MAX_DETAIL, Grade
from ucoder.evaluation.records import GradeReason
from ucoder.execution.outcomes import CheckReport, Verdict

_MISSING: Final = re.compile(
    r"No module named '[^']+'|[Mm]issing optional dependency '[^']+'"  # Python's, pandas'
    r"|(?:ModuleNotFoundError|ImportError): .{0,200}\bnot installed"
)
_KEPT: Final = frozenset(
    {GradeReason.PASSED, GradeReason.MISSING_LIBRARY, GradeReason.REFERENCE_FAILS}
)


class ReferenceChecks:
    """Which tasks of a data set can be run in this environment, as far as it was asked."""

    def __init__(self, folder: Path, dataset_sha256: str, fingerprint: str) -> None:
        """Read what is known already.

        Args:
            folder: Where answers are kept; made when there is one to keep.
            dataset_sha256: Of the data: other data have other solutions.
            fingerprint: Of all else that decides: `environment_fingerprint`, and what the caller
                adds to it, such as limits and the executor's name.
        """
        identity = hashlib.sha256(f"{dataset_sha256}\n{fingerprint}".encode()).hexdigest()
        self._path = folder / f"references-{identity[:32]}.jsonl"
        self._known = _read(self._path)
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def verdict(
        self, task_id: str, run: Callable[[], Awaitable[CheckReport]]
    ) -> Grade | None:
        """Whether the task can be run; asked many times at once, its solution still runs once.

        Args:
            task_id: The task's.
            run: Runs its solution as programs of the task are run.

        Returns:
            None where the solution passes; else the grade of every program of this task, by a
            reason out of `NOT_RUN`.

        Raises:
            OSError: The answer cannot be kept.
        """
        async with self._turns[task_id]:
            grade = self._known.get(task_id)
            if grade is None:
                report = await run()
                grade = grade_of_reference(report)
                if grade.reason is not GradeReason.SANDBOX_FAILED:
                    self._known[task_id] = grade
                    if report.verdict is not Verdict.TIMED_OUT:
                        self._keep(task_id, grade)
        return None if grade.passed else grade

    def _keep(self, task_id: str, grade: Grade) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"task_id": task_id, "reason": grade.reason, "detail": grade.detail})
        with self._path.open("ab") as file:
            # In front: the last line may have been torn, and must not take this one with it.
            file.write(f"\n{line}".encode())
            file.flush()
            os.fsync(file.fileno())


def grade_of_reference(report: CheckReport) -> Grade:
    """What a run of a task's own solution says about every program of the task.

    Args:
        report: How the solution did against the task's tests.
    """
    if report.verdict is Verdict.PASSED:
        return PASSED
    if report.verdict is Verdict.SANDBOX_FAILED:
        return Grade(GradeReason.SANDBOX_FAILED, report.detail[:MAX_DETAIL])
    missing = report.verdict is Verdict.FAILED and _MISSING.search(report.detail)
    detail = f"the benchmark's own solution, {report.verdict}: {report.detail}".rstrip(": ")
    return Grade(
        GradeReason.MISSING_LIBRARY if missing else GradeReason.REFERENCE_FAILS,
        detail[:MAX_DETAIL],
    )


def environment_fingerprint(folders: Iterable[str | Path]) -> str:
    """A digest of what decides which libraries programs find.

    It does not see what is no Python package: data that a library downloads, fonts, the network.

    Args:
        folders: Of the installed packages that programs can see
            (`ucoder.execution.payload.library_folders`).

    Returns:
        Hexadecimal; of the Python version and each distribution's name and version.
    """
    found = {
        f"{distribution.metadata['Name']}=={distribution.version}"
        for distribution in distributions(path=[str(folder) for folder in folders])
    }
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return hashlib.sha256("\n".join([python, *sorted(found)]).encode()).hexdigest()


def _read(path: Path) -> dict[str, Grade]:
    """What a file holds; a line that is no answer, such as a torn one, is passed over."""
    known: dict[str, Grade] = {}
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return known
    for line in lines:
        try:
            row = json.loads(line)
            grade = Grade(GradeReason(row["reason"]), str(row["detail"]))
            if grade.reason in _KEPT:
                known[str(row["task_id"])] = grade
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return known
