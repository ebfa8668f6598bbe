"""A run in numbers: what `ucoder status --json` prints and the report draws.

Works on an unfinished run too: a missing table counts as empty, what is undefined is NaN (null in
JSON), and `missing` says in words what is still to be done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ucoder.analysis.costs import StageCost, stage_costs
from ucoder.analysis.numbers import plain
from ucoder.analysis.problem_space import InputSpace, ProblemSpace, input_space, problem_space
from ucoder.analysis.scores import ModelScore, model_scores
from ucoder.analysis.solution_space import Iteration, solution_space
from ucoder.config.stages import KNOWN_ANSWERS
from ucoder.consensus.explanation import criterion
from ucoder.consensus.selection import rule_of
from ucoder.evaluation.registry import NAMES
from ucoder.runs.directory import State
from ucoder.runs.journal import StageTime

if TYPE_CHECKING:
    from ucoder.runs import Run


@dataclass(frozen=True, slots=True)
class Targets:
    """What the configuration asks for."""

    problems: int  # accepted problems wanted
    max_attempts: int  # tries after which stage 1 stops
    source: str  # where problems came from that the model did not invent; "" where it did
    inputs: int  # test inputs a problem
    candidates: int  # n of stage 5
    rho: float  # least e(r)
    tau: int  # least size of the winning cluster, for the selectors that ask for it
    selector: str  # the rule that selects
    min_probability: float  # of being right, below which nothing is selected
    criterion: str  # what the rule selects, in words and with its own thresholds
    iterations: int  # passes over stages 5 and 6
    trains: bool  # whether stage 6 trains instead of ending with the examples
    benchmarks: tuple[str, ...]  # what every model is scored on
    benchmark_tasks: int | None  # tasks of each; None means all of them


@dataclass(frozen=True, slots=True)
class Summary:
    """A run in numbers."""

    name: str  # the run's folder
    model: str  # the base model, M0, as configured
    seed: int  # the run's
    created: float  # seconds since 1970
    targets: Targets  # from the configuration
    problem_space: ProblemSpace  # stages 1 to 3
    input_space: InputSpace  # stage 4
    iterations: tuple[Iteration, ...]  # stages 5 and 6, those that have begun
    scores: tuple[ModelScore, ...]  # by benchmark, those asked for first, and model
    costs: tuple[StageCost, ...]  # by stage, in the paper's order
    times: tuple[StageTime, ...]  # by stage and iteration, in the order in which they ran
    seconds: float  # over all stages, NaN where nothing was timed
    tokens: int  # sampled over all stages
    missing: tuple[str, ...]  # what is still to be done, in words; empty for a finished run
    state: State  # whether it is being worked on, and how the last process that did so ended

    @property
    def setting(self) -> str:
        """Where the problems came from, in a sentence; "" where the model invented them."""
        source = self.targets.source
        if not source:
            return ""
        if source == KNOWN_ANSWERS:
            return "the problems are ucoder's known answers, which are there to measure on"
        return (
            f"the problems are your own prompts ({source}); the paper's setting, in which the "
            f"model invents them, is another one"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, undefined numbers as None; ready for `json.dumps`."""
        values: dict[str, Any] = plain(self)
        return values


def summarise(run: Run) -> Summary:
    """Count everything that a run holds so far.

    Raises:
        DamagedShard: A table's file cannot be read.
    """
    problems = problem_space(run.attempts.stream(), run.topics.stream())
    inputs = input_space(run.suites.stream())
    iterations = tuple(solution_space(run, iteration) for iteration in run.iterations())
    times = tuple(run.journal.times())
    tokens = {
        **problems.tokens,
        "test_inputs": inputs.tokens,
        "solutions": sum(iteration.tokens for iteration in iterations),
        "evaluation": _evaluation_tokens(run),
    }
    summary = Summary(
        name=run.path.resolve().name,
        model=run.config.model,
        seed=run.config.seed,
        created=run.manifest.created,
        targets=_targets(run, [benchmark for benchmark, _ in run.scored()]),
        problem_space=problems,
        input_space=inputs,
        iterations=iterations,
        scores=_scores(run),
        costs=stage_costs(times, tokens),
        times=times,
        seconds=sum(time.seconds for time in times) if times else float("nan"),
        tokens=sum(tokens.values()),
        missing=(),
        state=run.state(),
    )
    return replace(summary, missing=tuple(_missing(summary)))


def _scores(run: Run) -> tuple[ModelScore, ...]:
    """Every score, benchmarks in the order of the configuration, then by name."""
    tables = {key: run.scores(*key).rows() for key in run.scored()}
    scores = model_scores(tables, run.config.evaluation.k)
    asked = list(dict.fromkeys((*run.config.evaluation.benchmarks, *(s.benchmark for s in scores))))
    return tuple(sorted(scores, key=lambda s: (asked.index(s.benchmark), s.model_index)))


def _evaluation_tokens(run: Run) -> int:
    """Tokens sampled for benchmarks; answers that several benchmarks share count once."""
    return sum(answer.n_tokens for key in run.answered() for answer in run.answers(*key).rows())


def _targets(run: Run, scored: Sequence[str]) -> Targets:
    config, given = run.config, run.manifest.given
    # The name of a user's own benchmark is in its file, which is code and not run here; so its path
    # stands for it until there is a score with a name that is not one of ours.
    own = any(name not in NAMES for name in scored)
    rule = rule_of(config.solutions)
    asked = [name for name in config.evaluation.benchmarks if not (own and name.endswith(".py"))]
    return Targets(
        problems=config.problems.n,
        max_attempts=given.get("n", config.problems.max_attempts),
        source=str(config.problems.source or ""),
        inputs=config.test_inputs.n,
        candidates=config.solutions.n,
        rho=rule.rho,
        tau=rule.tau,
        selector=config.solutions.selector,
        min_probability=config.solutions.min_probability,
        criterion=criterion(rule),
        iterations=config.consolidation.iterations,
        trains=config.consolidation.provider != "none",
        benchmarks=tuple(asked),
        benchmark_tasks=config.evaluation.n_tasks,
    )


def _missing(summary: Summary) -> list[str]:
    """What a finished run would have and this one does not, stage by stage."""
    lacks = []
    targets, problems, inputs = summary.targets, summary.problem_space, summary.input_space
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
    for iteration in summary.iterations:
        t = iteration.iteration
        if iteration.n_decided < usable:
            lacks.append(
                f"stage 5: iteration {t} has decided {iteration.n_decided} of {usable} problems"
            )
        if iteration.checkpoint is not None:
            trained.add(t + 1)
        elif t < targets.iterations and targets.trains:
            lacks.append(f"stage 6: iteration {t} has trained no model")
    begun = {iteration.iteration for iteration in summary.iterations}
    if waiting := [str(t) for t in range(targets.iterations) if t not in begun]:
        lacks.append(f"stages 5 and 6: not begun for iteration {', '.join(waiting)}")
    return lacks + _missing_scores(summary, trained)


def _missing_scores(summary: Summary, trained: set[int]) -> list[str]:
    """A line for each benchmark without a score, and for each score on too few tasks."""
    lacks = []
    targets = summary.targets
    answered = {(score.benchmark, score.model_index): score.n_tasks for score in summary.scores}
    for benchmark in targets.benchmarks:
        without = [i for i in sorted(trained) if not answered.get((benchmark, i))]
        if without:
            models = ", ".join(str(index) for index in without)
            lacks.append(
                f"evaluation: model{'s' * (len(without) > 1)} {models} "
                f"{'have' if len(without) > 1 else 'has'} no {benchmark} score"
            )
        for index in sorted(trained - set(without)):
            n_tasks = answered[benchmark, index]
            if targets.benchmark_tasks and n_tasks < targets.benchmark_tasks:
                lacks.append(
                    f"evaluation: model {index} has answered {n_tasks} of "
                    f"{targets.benchmark_tasks} {benchmark} tasks"
                )
    return lacks
