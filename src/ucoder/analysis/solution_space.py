"""Stages 5 and 6 in numbers, iteration by iteration.

Tables are read problem by problem, so that memory does not grow with the run: at the paper's size
an iteration holds more than two million candidates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from ucoder.analysis.numbers import Distribution, describe, in_order, tally
from ucoder.records import Candidate, Checkpoint, Execution, perplexity

if TYPE_CHECKING:
    from ucoder.runs import Run, Table


@dataclass(frozen=True, slots=True)
class Iteration:
    """One pass over stages 5 and 6."""

    iteration: int  # t; its candidates come from M(t)
    n_problems: int  # problems with candidates
    n_candidates: int  # completions sampled
    n_programs: int  # distinct programs, counted within each problem
    without_program: Mapping[str, int]  # candidates left out, by reason
    n_executed: int  # distinct programs of candidates that were run
    n_calls: int  # calls in all: programs times inputs
    statuses: Mapping[str, int]  # programs by status
    outcomes: Mapping[str, int]  # calls by outcome
    perplexity: Distribution  # f(r) of every candidate with a program (definition 2.3)
    n_decided: int  # problems that consensus has decided
    n_selected: int  # decided problems with an r*
    not_selected: Mapping[str, int]  # the others, by reason
    n_inputs: int  # inputs of the decided problems
    n_kept_inputs: int  # those that some candidates could run, so that they count in e(r)
    # Size of each decided problem's largest cluster -> number of problems, in ascending order; 0
    # stands for no candidate that could win.
    largest_clusters: Mapping[int, int]
    largest_of_selected: Mapping[int, int]  # the same, of the problems with an r*
    # Size of a cluster -> number of clusters, over all decided problems.
    cluster_sizes: Mapping[int, int]
    n_sandbox_failures: int  # candidates left out because the sandbox failed on them: no votes
    n_greedy: int  # answers at temperature 0, which do not vote and count above nowhere
    n_examples: int  # training pairs
    checkpoint: Checkpoint | None  # M(t+1), None while there is none
    tokens: int  # sampled in stage 5, those of greedy answers among them


class _Greedy:
    """The greedy answers, and those of their programs that no candidate has, by problem."""

    def __init__(self, table: Table[Candidate]) -> None:
        answers = table.columns("problem_id", "program_id", "n_tokens")
        self.n = self.tokens = 0
        self.alone: set[tuple[str, str]] = set()
        for answer in answers:
            self.n += 1
            self.tokens += answer["n_tokens"]
            self.alone.add((answer["problem_id"], answer["program_id"]))


class _Candidates:
    """Running counts over candidates, by columns: there are millions of them.

    Their programs are taken out of those that the greedy answers have alone.
    """

    def __init__(self, table: Table[Candidate], greedy: _Greedy) -> None:
        self.n = self.n_problems = self.n_programs = self.tokens = 0
        self.refused: Counter[str] = Counter()
        self.perplexities: list[float] = []
        columns = ("problem_id", "reason", "program_id", "n_tokens", "sum_logprob")
        for shard in table.arrow(*columns):
            rows = shard.to_pydict()
            greedy.alone.difference_update(zip(rows["problem_id"], rows["program_id"], strict=True))
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

    def __init__(self, table: Table[Execution], greedy: _Greedy) -> None:
        self.n = self.n_calls = 0
        self.statuses: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        columns = ("problem_id", "program_id", "status", "outcomes.list.element.kind")
        for shard in table.arrow(*columns):
            ids = zip(shard["problem_id"].to_pylist(), shard["program_id"].to_pylist(), strict=True)
            shard = shard.filter(pa.array([one not in greedy.alone for one in ids], pa.bool_()))
            self.n += shard.num_rows
            self.statuses.update(shard["status"].to_pylist())
            kinds = pc.struct_field(pc.list_flatten(shard["outcomes"]), "kind")
            self.n_calls += len(kinds)
            for count in pc.value_counts(kinds).to_pylist():
                self.outcomes[count["values"]] += count["counts"]


def solution_space(run: Run, iteration: int) -> Iteration:
    """Count one iteration, complete or not.

    Raises:
        DamagedShard: A table's file cannot be read.
    """
    greedy = _Greedy(run.greedy(iteration))
    candidates = _Candidates(run.candidates(iteration), greedy)
    executions = _Executions(run.executions(iteration), greedy)
    selections = run.selections(iteration).rows()
    sizes = Counter(size for s in selections for size in s.cluster_sizes)
    largest = Counter(max(s.cluster_sizes, default=0) for s in selections)
    of_selected = Counter(max(s.cluster_sizes) for s in selections if s.candidate_id is not None)
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
        largest_of_selected=dict(sorted(of_selected.items())),
        cluster_sizes=dict(sorted(sizes.items())),
        n_sandbox_failures=sum(s.n_sandbox_failures for s in selections),
        n_greedy=greedy.n,
        n_examples=len(run.examples(iteration).rows()),
        checkpoint=checkpoints[-1] if checkpoints else None,
        tokens=candidates.tokens + greedy.tokens,
    )
