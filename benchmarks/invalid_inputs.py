"""How often two right programs differ on an input, by its origin, and what that does to a choice.

Every known answer has two right programs that work in different ways. On an input that its
statement allows they return the same; where they differ, or one of them fails, the input is outside
of what the statement means. Printed is, for each origin of inputs, how many such inputs there are.

Then both programs join the model's candidates, as many copies of each as asked, so that something
right can be chosen in every task, and every selector chooses on several sets of inputs: pass@1.

    python benchmarks/invalid_inputs.py known-answers [--copies 2] [--cache DIR] [--tasks N]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from ucoder.cli.drawing import Bars
from ucoder.consensus.selectors import SELECTORS
from ucoder.errors import UcoderError
from ucoder.evaluation.benchmarks import known_answers
from ucoder.evaluation.protocol import Task
from ucoder.evaluation.statistics import mean_interval
from ucoder.execution.duplicates import program_key
from ucoder.execution.outcomes import CallReport
from ucoder.execution.providers import open_executor
from ucoder.records import NAN, Candidate, Execution, FinishReason, InputOrigin
from ucoder.studies.pools import LIMITS, ExecutedTask, open_pools
from ucoder.studies.samples import samples_file
from ucoder.studies.tasks import ALL, AS_RUN, OWN, StudyTask, choose, task_of

Reports = tuple[CallReport, CallReport]

NO_MUTANTS = "no mutants"
SETS = (AS_RUN, ALL, NO_MUTANTS, OWN)


async def reports_of(pools: Sequence[ExecutedTask]) -> list[Reports]:
    """What the two right programs of each task make of its inputs."""
    tasks = {task.id: task for task in known_answers.load().tasks}
    found = []
    async with open_executor("auto", LIMITS) as executor:
        for pool in pools:
            arguments = [one.arguments for one in pool.inputs]
            first, second = right_programs(tasks[pool.task_id])
            found.append(
                (
                    await executor.call(first, pool.entry_point, arguments),
                    await executor.call(second, pool.entry_point, arguments),
                )
            )
    return found


def right_programs(task: Task) -> tuple[str, str]:
    """The reference and the second program."""
    return str(task.fields["reference"]), str(task.fields["second"])


def is_invalid(reports: Reports) -> list[bool]:
    """For each input, whether the right programs differ on it, or one of them does not return."""
    first, second = (report.outcomes for report in reports)
    return [
        not (a.executed and b.executed and a.answer == b.answer)
        for a, b in zip(first, second, strict=True)
    ]


def with_right_programs(
    pool: ExecutedTask, programs: Sequence[str], reports: Reports, copies: int
) -> StudyTask:
    """The task with copies of the right programs among its candidates."""
    candidates, executions = list(pool.candidates), list(pool.executions)
    correct = list(pool.correct)
    for program, report in zip(programs, reports, strict=True):
        program_id = program_key(program)[:16]
        candidates += [
            Candidate(f"{program_id}-{at}", pool.task_id, 0, len(candidates) + at, "", program,
                      program_id, 0, NAN, FinishReason.STOP, None)
            for at in range(copies)
        ]  # fmt: skip
        if all(execution.program_id != program_id for execution in executions):
            executions.append(
                Execution(pool.task_id, 0, program_id, report.status, report.detail,
                          report.outcomes, report.cpu_s, report.wall_s)
            )  # fmt: skip
            correct.append(True)
    planted = replace(
        pool, candidates=tuple(candidates), executions=tuple(executions), correct=tuple(correct)
    )
    return task_of(planted)


def print_origins(pools: Sequence[ExecutedTask], reports: Sequence[Reports]) -> None:
    """For each origin: inputs, the share that is invalid, and tasks that have such an input."""
    inputs: Counter[InputOrigin] = Counter()
    invalid: Counter[InputOrigin] = Counter()
    tasks: Counter[InputOrigin] = Counter()
    for pool, of_task in zip(pools, reports, strict=True):
        bad = [i.origin for i, out in zip(pool.inputs, is_invalid(of_task), strict=True) if out]
        inputs.update(one.origin for one in pool.inputs)
        invalid.update(bad)
        tasks.update(set(bad))
    print(f"{'origin':<12} {'inputs':>7} {'invalid':>8} {'tasks with one':>15}")
    for origin, n in sorted(inputs.items()):
        print(f"{origin:<12} {n:>7} {100 * invalid[origin] / n:>7.1f}% {tasks[origin]:>15}")


def print_choices(tasks: Sequence[StudyTask]) -> None:
    """pass@1 of every selector on each set of inputs."""
    headings = ("selector", "as a run", *SETS[1:])
    print("\n" + " ".join(f"{heading:<20}" for heading in headings))
    for selector in SELECTORS:
        print(f"{selector:<20}", *(f"{pass_at_1(tasks, selector, name)!s:<20}" for name in SETS))


def pass_at_1(tasks: Sequence[StudyTask], selector: str, inputs: str) -> object:
    """The mean over tasks, with its interval."""
    right = []
    for task in tasks:
        votes = task.votes
        if inputs == NO_MUTANTS:
            is_other = [one.origin is not InputOrigin.MUTATION for one in votes.inputs]
            votes = votes.on(np.flatnonzero(is_other).tolist())
        on = ALL if inputs == NO_MUTANTS else inputs
        right.append(task.chance_right(choose(votes, [selector], inputs=on)[selector]))
    return mean_interval(right)


def main() -> None:
    """Read, run the right programs, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="samples of the known answers: `known-answers`")
    parser.add_argument("--copies", type=int, default=2, help="of each right program")
    parser.add_argument("--tasks", type=int, default=None, help="only this many, the first ones")
    parser.add_argument("--cache", type=Path, default=None, help="where executions are kept")
    asked = parser.parse_args()
    try:
        with Bars(Console(stderr=True)) as bars:
            data = samples_file(asked.data)
            pools = list(open_pools(data, asked.cache, n_tasks=asked.tasks, progress=bars))
            reports = asyncio.run(reports_of(pools))
    except UcoderError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    known = {task.id: right_programs(task) for task in known_answers.load().tasks}
    print_origins(pools, reports)
    tasks = [
        with_right_programs(pool, known[pool.task_id], of_task, asked.copies)
        for pool, of_task in zip(pools, reports, strict=True)
    ]
    print(f"\npass@1 in percent [95% interval over {len(tasks)} tasks], with {asked.copies} copies "
          f"of each right program")  # fmt: skip
    print_choices(tasks)


if __name__ == "__main__":
    main()
