"""Does a task's own solution pass here? Checked once a task, before any program is graded on it.

Tasks of BigCodeBench and FullStackBench need libraries in the right versions, a network, and so on.
A model's program cannot show whether they are there, because it may import modules that never
existed. So a task's published solution goes through the same harness first. Where it fails, a
verdict would say nothing about a program, so every program is "not run", never "failed".

    checks = ReferenceChecks(context.cache, context.dataset.sha256, fingerprint)
    run = partial(context.executor.check, reference_script, as_script=True)
    not_run = await checks.verdict(task.id, run)
    if not_run is not None:
        return {name: not_run}

Solutions that pass are kept in one `Ledger` for each data set and environment. What fails is kept
in memory: the next start may find the library, the data or the network that was missing, whether
or not they show in the fingerprint. A failure of the sandbox is repeated for the next program.
"""

from __future__ import annotations

import asyncio
import hashlib
import platform
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from importlib.metadata import distributions
from pathlib import Path
from typing import Final

from ucoder.evaluation.grading import PASSED
from ucoder.evaluation.ledger import Ledger
from ucoder.evaluation.protocol import MAX_DETAIL, Grade
from ucoder.evaluation.records import GradeReason
from ucoder.execution.outcomes import CheckReport, Verdict

_MISSING: Final = re.compile(
    r"No module named '[^']+'|[Mm]issing optional dependency '[^']+'"  # Python's, pandas'
    r"|(?:ModuleNotFoundError|ImportError): .{0,200}\bnot installed"
)


class ReferenceChecks:
    """Which tasks of a data set can be run in this environment, as far as they were checked."""

    def __init__(self, folder: Path, dataset_sha256: str, fingerprint: str) -> None:
        """Read the results that are kept in `folder`, which is made on the first write.

        `fingerprint` covers everything else that decides a result: `environment_fingerprint`, and
        what the caller adds, such as limits and the executor's name.
        """
        identity = hashlib.sha256(f"{dataset_sha256}\n{fingerprint}".encode()).hexdigest()
        self._kept = Ledger(folder / f"references-{identity[:32]}.jsonl", Grade)
        self._failed: dict[str, Grade] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def verdict(
        self, task_id: str, run: Callable[[], Awaitable[CheckReport]]
    ) -> Grade | None:
        """Whether the task can be run; concurrent calls `run` its solution once.

        Returns:
            None if the solution passes; else the grade of every program of this task, with a
            reason in `NOT_RUN`.

        Raises:
            OSError: The result cannot be written.
        """
        async with self._turns[task_id]:
            kept = (grade for grade in self._kept.get(task_id) if grade.passed)
            grade = next(kept, self._failed.get(task_id))
            if grade is None:
                report = await run()
                grade = grade_of_reference(report)
                if grade.passed:
                    self._kept.put(task_id, [grade])
                elif report.verdict is not Verdict.SANDBOX_FAILED:
                    self._failed[task_id] = grade
        return None if grade.passed else grade


def grade_of_reference(report: CheckReport) -> Grade:
    """The grade of every program of a task, from the run of its own solution against its tests."""
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
    """A digest of Python's version and of each distribution that programs can import, in hex.

    It does not cover data that a library downloads, fonts, or the network.

    Args:
        folders: Those of installed packages (`ucoder.execution.payload.library_folders`).
    """
    found = {
        f"{distribution.metadata['Name']}=={distribution.version}"
        for distribution in distributions(path=[str(folder) for folder in folders])
    }
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return hashlib.sha256("\n".join([python, *sorted(found)]).encode()).hexdigest()
