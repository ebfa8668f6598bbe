"""Stages 5 and 6 in numbers, iteration by iteration.

Tables are read problem by problem, so that memory does not grow with the run: at the paper's size
an iteration holds more than two million candidates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from ucoder.analysis.numbers import Distribution, describe, in_order, tally
from ucoder.records import Candidate, Checkpoint, Execution, perplexity

if TYPE_CHECKING:
    from ucoder.runs import Run, Table


@dataclass(frozen=True, slots=True)
class Iteration:
    """One pass over stages 5 and 6.

    Attributes:
        iteration: t; its candidates come from M(t).
        n_problems: Problems with candidates.
        n_candidates: Completions sampled.
        n_programs: Distinct programs, counted within each problem.
        without_program: Candidates that take no part, by reason.
        n_executed: Distinct programs that were run.
        n_calls: Calls that they were given: programs times inputs.
        statuses: Programs by what happened to them as a whole.
        outcomes: Calls by what they came to.
        perplexity: f(r) of every candidate with a program (definition 2.3).
        n_decided: Problems on which consensus has spoken.
        n_selected: Those with an r*.
        not_selected: The others, by reason.
        n_inputs: Inputs of the decided problems.
        n_kept_inputs: Those that some candidates could run, so that they count in e(r).
        largest_clusters: Size of each decided problem's largest cluster -> number of problems,
            in ascending order; 0 stands for no reliable candidate at all.
        cluster_sizes: Size of a cluster -> number of clusters, over all decided problems.
        n_sandbox_failures: Candidates left out because the sandbox failed on them: no votes.
        n_examples: Training pairs.
        checkpoint: M(t+1), None while there is none.
        tokens: Sampled in stage 5.
    """

    iteration: int
    n_problems: int
    n_candidates: int
    n_programs: int
    without_program: Mapping[str, int]
    n_executed: int
    n_calls: int
    statuses: Mapping[str, int]
    outcomes: Mapping[str, int]
    perplexity: Distribution
    n_decided: int
    n_selected: int
    not_selected: Mapping[str, int]
    n_inputs: int
    n_kept_inputs: int
    largest_clusters: Mapping[int, int]
    cluster_sizes: Mapping[int, int]
    n_sandbox_failures: int
    n_examples: int
    checkpoint: Checkpoint | None
    tokens: int


class _Candidates:
    """Running counts over candidates, by columns: there are millions of them."""

    def __init__(self, table: Table[Candidate]) -> None:
        self.n = self.n_problems = self.n_programs = self.tokens = 0
        self.refused: Counter[str] = Counter()
        self.perplexities: list[float] = []
        for shard in table.arrow("reason", "program_id", "n_tokens", "sum_logprob"):
            rows = shard.to_pydict()
            self.n += shard.num_rows
            self.n_problems += shard.num_rows > 0
            self.tokens += sum(rows["n_tokens"])
            self.refused.update(reason for reason in rows["reason"] if reason is not None)
            running = [at for at, reason in enumerate(rows["reason"]) if reason is None]
            self.n_programs += len({rows["program_id"][at] for at in running})
            for at in running:
                self.perplexities.append(perplexity(rows["n_tokens"][at], rows["sum_logprob"][at]))


class _Executions:
    """Running counts over executions, by columns: there are a hundred calls of each program."""

    def __init__(self, table: Table[Execution]) -> None:
        self.n = self.n_calls = 0
        self.statuses: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        for shard in table.arrow("status", "outcomes.list.element.kind"):
            self.n += shard.num_rows
            self.statuses.update(shard["status"].to_pylist())
            kinds = pc.struct_field(pc.list_flatten(shard["outcomes"]), "kind")
            self.n_calls += len(kinds)
            for count in pc.value_counts(kinds).to_pylist():
                self.outcomes[count["values"]] += count["counts"]


def solution_space(run: Run, iteration: int) -> Iteration:
    """Count one iteration, as far as it has come.

    Raises:
        DamagedShard: A table's file cannot be read.
    """
    candidates = _Candidates(run.candidates(iteration))
    executions = _Executions(run.executions(iteration))
    selections = run.selections(iteration).rows()
    sizes = Counter(size for s in selections for size in s.cluster_sizes)
    largest = Counter(max(s.cluster_sizes, default=0) for s in selections)
    checkpoints = [c for c in run.checkpoints.rows() if c.iteration == iteration]
    return Iteration(
        iteration=iteration,
        n_problems=candidates.n_problems,
        n_candidates=candidates.n,
        n_programs=candidates.n_programs,
        without_program=in_order(candidates.refused),
        n_executed=executions.n,
        n_calls=executions.n_calls,
        statuses=in_order(executions.statuses),
        outcomes=in_order(executions.outcomes),
        perplexity=describe(candidates.perplexities),
        n_decided=len(selections),
        n_selected=sum(s.candidate_id is not None for s in selections),
        not_selected=tally(s.reason.value for s in selections if s.reason is not None),
        n_inputs=sum(s.n_inputs for s in selections),
        n_kept_inputs=sum(s.n_kept_inputs for s in selections),
        largest_clusters=dict(sorted(largest.items())),
        cluster_sizes=dict(sorted(sizes.items())),
        n_sandbox_failures=sum(s.n_sandbox_failures for s in selections),
        n_examples=len(run.examples(iteration).rows()),
        checkpoint=checkpoints[-1] if checkpoints else None,
        tokens=candidates.tokens,
    )
