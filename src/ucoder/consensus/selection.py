"""Selection (section 2.3.2): reliability, consensus, then r* within the consensus cluster.

1. Reliability: candidates with e(r) < rho are dropped.
2. Consensus: C* is the largest cluster with |C| >= tau; without one nothing is selected.
3. r* = argmax over <e(r), -f(r)>, lexicographic, within C*.

The paper does not say which of two equally large clusters wins: ours is the one whose best member
comes first under <e, -f>, and the earlier candidate where even these are equal. A candidate with
undefined perplexity comes after every defined one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ucoder.config import SolutionsConfig
from ucoder.consensus.signatures import (
    Signature,
    is_runnable,
    kept_inputs,
    output_signature,
    pass_fail_signature,
    sandbox_failed,
    success,
)
from ucoder.records import NAN, Candidate, Execution, Reason, Selection


@dataclass(frozen=True, slots=True)
class Rule:
    """The thresholds of section 2.3.2; see `ucoder.config.SolutionsConfig` for each."""

    rho: float = 0.8
    tau: int = 3
    min_input_support: float = 0.2
    signature: str = "outputs"


def rule_of(config: SolutionsConfig) -> Rule:
    """The thresholds that a run was configured with."""
    return Rule(config.rho, config.tau, config.min_input_support, config.signature)


@dataclass(frozen=True, slots=True)
class Cluster:
    """Reliable candidates with one signature (definition 2.2), best first under <e, -f>."""

    signature: Signature
    members: tuple[Candidate, ...]
    success: float


@dataclass(frozen=True, slots=True)
class Ballot:
    """Everything that a selection rests on, for the record and for showing it.

    Attributes:
        selection: The outcome.
        kept: The inputs that counted, by position.
        clusters: Of the reliable candidates, largest first.
        successes: e(r) of every candidate that ran, by candidate id.
    """

    selection: Selection
    kept: tuple[int, ...]
    clusters: tuple[Cluster, ...]
    successes: Mapping[str, float]


def select(
    problem_id: str,
    iteration: int,
    candidates: Sequence[Candidate],
    executions: Mapping[str, Execution],
    predicted: Sequence[str | None],
    rule: Rule,
) -> Ballot:
    """Choose r* among one problem's candidates.

    Args:
        problem_id: Whose candidates they are.
        iteration: Of the model that wrote them.
        candidates: All of them, the refused ones among them.
        executions: By program id; each on the same inputs.
        predicted: One an input, None where the model predicted no output.
        rule: The thresholds.

    Returns:
        The ballot. Its selection holds a reason where there is no r*.
    """
    running = [c for c in candidates if c.reason is None]
    failed = [c for c in running if sandbox_failed(executions[c.program_id])]
    voters = [c for c in running if not sandbox_failed(executions[c.program_id])]
    weights: dict[str, int] = dict.fromkeys(executions, 0)
    for candidate in voters:
        weights[candidate.program_id] += 1
    kept = kept_inputs(executions, weights, rule.min_input_support)

    successes = {c.id: success(executions[c.program_id], kept) for c in voters}
    reliable = [
        c for c in voters if is_runnable(executions[c.program_id]) and successes[c.id] >= rule.rho
    ]
    clusters = _cluster(reliable, successes, _signer(executions, kept, predicted, rule))
    winner = clusters[0] if clusters and len(clusters[0].members) >= rule.tau else None
    chosen = winner.members[0] if winner else None
    selection = Selection(
        problem_id=problem_id,
        iteration=iteration,
        n_candidates=len(candidates),
        n_programs=sum(weight > 0 for weight in weights.values()),
        n_inputs=len(predicted),
        n_kept_inputs=len(kept),
        n_reliable=len(reliable),
        cluster_sizes=tuple(len(cluster.members) for cluster in clusters),
        candidate_id=chosen.id if chosen else None,
        success=successes[chosen.id] if chosen else NAN,
        perplexity=chosen.perplexity if chosen else NAN,
        reason=None if chosen else _why_none(voters, kept, reliable),
        n_sandbox_failures=len(failed),
    )
    return Ballot(selection, kept, tuple(clusters), successes)


def _signer(
    executions: Mapping[str, Execution],
    kept: tuple[int, ...],
    predicted: Sequence[str | None],
    rule: Rule,
) -> Callable[[Candidate], Signature]:
    if rule.signature == "pass_fail":
        return lambda c: pass_fail_signature(executions[c.program_id], kept, predicted)
    return lambda c: output_signature(executions[c.program_id], kept)


def _cluster(
    reliable: Sequence[Candidate],
    successes: Mapping[str, float],
    sign: Callable[[Candidate], Signature],
) -> list[Cluster]:
    """Definition 2.2, largest cluster first, members best first."""

    def rank(candidate: Candidate) -> tuple[float, float, int]:
        perplexity = candidate.perplexity
        return (
            -successes[candidate.id],
            math.inf if math.isnan(perplexity) else perplexity,
            candidate.index,
        )

    groups: dict[Signature, list[Candidate]] = {}
    for candidate in reliable:
        groups.setdefault(sign(candidate), []).append(candidate)
    clusters = [
        Cluster(signature, members := tuple(sorted(group, key=rank)), successes[members[0].id])
        for signature, group in groups.items()
    ]
    return sorted(clusters, key=lambda c: (-len(c.members), rank(c.members[0])))


def _why_none(
    voters: Sequence[Candidate], kept: tuple[int, ...], reliable: Sequence[Candidate]
) -> Reason:
    if not voters:
        return Reason.NO_CANDIDATE
    if not kept:
        return Reason.NO_INFORMATIVE_INPUT
    return Reason.NO_CONSENSUS if reliable else Reason.NO_RELIABLE_CANDIDATE
