"""A run in numbers: what `ucoder status --json` prints and the report draws.

Works on a run at any point of its life: a table that is not there yet counts nothing, what is
undefined is NaN (null in JSON), and `missing` says in words what has still to come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ucoder.analysis.costs import StageCost, stage_costs
from ucoder.analysis.numbers import plain
from ucoder.analysis.problem_space import InputSpace, ProblemSpace, input_space, problem_space
from ucoder.analysis.scores import ModelScore, model_scores
from ucoder.analysis.solution_space import Iteration, solution_space
from ucoder.runs.journal import StageTime

if TYPE_CHECKING:
    from ucoder.config import RunConfig
    from ucoder.runs import Run


@dataclass(frozen=True, slots=True)
class Targets:
    """What the configuration asks for.

    Attributes:
        problems: Accepted problems wanted.
        max_attempts: Tries after which stage 1 stops.
        inputs: Test inputs a problem.
        candidates: n of stage 5.
        rho: Least e(r).
        tau: Least size of the winning cluster.
        iterations: Passes over stages 5 and 6.
        benchmarks: What every model is scored on.
        benchmark_tasks: Tasks of each; None means all of them.
    """

    problems: int
    max_attempts: int
    inputs: int
    candidates: int
    rho: float
    tau: int
    iterations: int
    benchmarks: tuple[str, ...]
    benchmark_tasks: int | None


@dataclass(frozen=True, slots=True)
class Summary:
    """A run in numbers.

    Attributes:
        name: The run's folder.
        model: What was asked for as M0.
        seed: The run's.
        created: Seconds since 1970.
        targets: What was asked for.
        problem_space: Stages 1 to 3.
        input_space: Stage 4.
        iterations: Stages 5 and 6, those that have begun.
        scores: By benchmark and model.
        costs: By stage, in the paper's order.
        times: By stage and iteration, in the order in which they ran.
        seconds: Over all stages, NaN where nothing was timed.
        tokens: Sampled over all stages.
        missing: What has still to come, in words; empty for a run that is done.
    """

    name: str
    model: str
    seed: int
    created: float
    targets: Targets
    problem_space: ProblemSpace
    input_space: InputSpace
    iterations: tuple[Iteration, ...]
    scores: tuple[ModelScore, ...]
    costs: tuple[StageCost, ...]
    times: tuple[StageTime, ...]
    seconds: float
    tokens: int
    missing: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, undefined numbers as None; ready for `json.dumps`."""
        values: dict[str, Any] = plain(self)
        return values


def summarise(run: Run) -> Summary:
    """Count everything that a run has come to so far.

    Raises:
        DamagedShard: A table's file cannot be read.
    """
    targets = _targets(run.config)
    problems = problem_space(run.attempts.rows())
    inputs = input_space(run.suites.rows())
    iterations = tuple(solution_space(run, iteration) for iteration in run.iterations())
    scores = model_scores({key: run.scores(*key).rows() for key in run.scored()})
    times = tuple(run.journal.times())
    tokens = {
        **problems.tokens,
        "test_inputs": inputs.tokens,
        "solutions": sum(iteration.tokens for iteration in iterations),
        "evaluation": sum(score.tokens for score in scores),
    }
    return Summary(
        name=run.path.resolve().name,
        model=run.config.model,
        seed=run.config.seed,
        created=run.manifest.created,
        targets=targets,
        problem_space=problems,
        input_space=inputs,
        iterations=iterations,
        scores=scores,
        costs=stage_costs(times, tokens),
        times=times,
        seconds=sum(time.seconds for time in times) if times else float("nan"),
        tokens=sum(tokens.values()),
        missing=tuple(_missing(targets, problems, inputs, iterations, scores)),
    )


def _targets(config: RunConfig) -> Targets:
    return Targets(
        problems=config.problems.n,
        max_attempts=config.problems.max_attempts,
        inputs=config.test_inputs.n,
        candidates=config.solutions.n,
        rho=config.solutions.rho,
        tau=config.solutions.tau,
        iterations=config.consolidation.iterations,
        benchmarks=tuple(config.evaluation.benchmarks),
        benchmark_tasks=config.evaluation.n_tasks,
    )


def _missing(
    targets: Targets,
    problems: ProblemSpace,
    inputs: InputSpace,
    iterations: tuple[Iteration, ...],
    scores: tuple[ModelScore, ...],
) -> list[str]:
    """What a finished run would have and this one has not, stage by stage."""
    lacks = []
    wanted = min(targets.problems, problems.n_accepted)
    if not problems.n_attempts:
        lacks.append("stage 1: no attempt at a problem yet")
    elif problems.n_accepted < targets.problems and problems.n_attempts < targets.max_attempts:
        lacks.append(
            f"stages 1 to 3: {problems.n_accepted} of {targets.problems} problems accepted so far"
        )
    if inputs.n_suites < wanted:
        lacks.append(f"stage 4: {inputs.n_suites} of {wanted} problems have test inputs so far")
    usable = min(inputs.n_usable, wanted)
    trained = {0}  # M0 is always there
    for iteration in iterations:
        t = iteration.iteration
        if iteration.n_decided < usable:
            lacks.append(
                f"stage 5: iteration {t} has decided {iteration.n_decided} of {usable} problems"
            )
        if iteration.checkpoint is not None:
            trained.add(t + 1)
        elif t < targets.iterations:
            lacks.append(f"stage 6: iteration {t} has trained no model")
    begun = {iteration.iteration for iteration in iterations}
    waiting = [t for t in range(targets.iterations) if t not in begun]
    if waiting:
        named = ", ".join(str(t) for t in waiting)
        lacks.append(f"stages 5 and 6: not begun for iteration {named}")
    answered = {(score.benchmark, score.model_index): score.n_tasks for score in scores}
    for benchmark in targets.benchmarks:
        for index in sorted(trained):
            n_tasks = answered.get((benchmark, index), 0)
            if not n_tasks:
                lacks.append(f"evaluation: model {index} has no {benchmark} score")
            elif targets.benchmark_tasks and n_tasks < targets.benchmark_tasks:
                lacks.append(
                    f"evaluation: model {index} has answered {n_tasks} of "
                    f"{targets.benchmark_tasks} {benchmark} tasks"
                )
    return lacks
