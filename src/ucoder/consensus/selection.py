"""From votes to a selection: which inputs count, which candidate wins, and how sure that is.

The rule itself is a selector (`ucoder.consensus.selectors`). Everything else is the same for all
selectors: which inputs count, how ties are broken, which candidate of the winning program is r*,
the probability that the choice is correct, and the record that explains it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ucoder.config import DEFAULT_RHO, DEFAULT_TAU, SolutionsConfig
from ucoder.consensus.explanation import flags_of
from ucoder.consensus.inputs import kept_inputs
from ucoder.consensus.probability import probability_right
from ucoder.consensus.selectors import ON_OWN_INPUTS, Ranking, Rule, selector_named
from ucoder.consensus.selectors.ranking import waiting_times
from ucoder.consensus.stopping import regret_of
from ucoder.consensus.votes import Votes, votes_of
from ucoder.records import NAN, Candidate, Execution, Reason, Selection, TestInput


def rule_of(config: SolutionsConfig) -> Rule:
    """The rule of a run's configuration."""
    return Rule(
        selector=config.selector,
        rho=DEFAULT_RHO if config.rho is None else config.rho,
        tau=DEFAULT_TAU if config.tau is None else config.tau,
        inputs=config.inputs,
        min_input_support=config.min_input_support,
        min_probability=config.min_probability,
        raising_may_win=config.raising_may_win,
        min_share=config.min_share,
        is_rho_set=config.rho is not None,
        is_tau_set=config.tau is not None,
    )


def counting(votes: Votes, rule: Rule) -> Votes:
    """The votes on the inputs that count under a rule."""
    by_selector = rule.inputs == "selector" and rule.selector in ON_OWN_INPUTS
    own = rule.inputs == "own" or by_selector
    return votes.on(kept_inputs(votes, rule.min_input_support, own=own))


def n_wanted_by(config: SolutionsConfig) -> int | None:
    """The argument `n_wanted` of `select` for a run's configuration."""
    return config.n if config.stopping else None


@dataclass(frozen=True, slots=True)
class Cluster:
    """Candidates that can win and have equal answers (definition 2.2).

    Attributes:
        members: The candidates, the one that the rule prefers first, then by f(r): they share e(r).
        success: Their e(r).
        score: The selector's score.
    """

    members: tuple[Candidate, ...]
    success: float
    score: float


@dataclass(frozen=True, slots=True)
class Ballot:
    """A selection and everything that it rests on.

    Attributes:
        selection: The outcome.
        kept: Positions in the suite of the inputs that counted.
        clusters: Clusters of the programs that could win, best score first.
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
    inputs: Sequence[TestInput],
    rule: Rule,
    n_wanted: int | None = None,
) -> Ballot:
    """Choose r* among one problem's candidates.

    Args:
        problem_id: The problem.
        iteration: t of the model M(t) that wrote the candidates.
        candidates: All of them, including the refused ones.
        executions: By program id, all on `inputs`.
        inputs: The inputs of the suite.
        rule: The selector and its thresholds.
        n_wanted: Number of candidates up to which sampling may go on, for the regret of stopping
            here; None where these are all, and the regret is not computed.

    Returns:
        The ballot. Where there is no r*, its selection gives the reason.

    Raises:
        ConfigError: The rule's selector is unknown.
    """
    votes = votes_of(candidates, executions, inputs)
    votes = counting(votes, rule)
    ranking = selector_named(rule.selector)(votes, rule)
    order = ranked_programs(votes, ranking)
    members = _members(votes, candidates)
    clusters = _clusters(votes, ranking, order, members)
    probability = probability_right(votes, order[0]) if order else NAN
    share = _share(votes, candidates, clusters)
    reason = ranking.reason
    if reason is None and share < rule.min_share:
        reason = Reason.SMALL_MINORITY
    if reason is None and probability < rule.min_probability:
        reason = Reason.LOW_PROBABILITY
    chosen = members[order[0]][0] if order and reason is None else None
    selection = Selection(
        problem_id=problem_id,
        iteration=iteration,
        n_candidates=len(candidates),
        n_programs=len(votes.programs),
        n_inputs=len(inputs),
        n_kept_inputs=len(votes.inputs),
        n_reliable=ranking.n_reliable,
        cluster_sizes=tuple(sorted((len(c.members) for c in clusters), reverse=True)),
        candidate_id=chosen.id if chosen else None,
        success=float(votes.success_P[order[0]]) if chosen else NAN,
        perplexity=chosen.perplexity if chosen else NAN,
        reason=reason,
        n_sandbox_failures=votes.n_sandbox_failures,
        selector=rule.selector,
        score=clusters[0].score if clusters else NAN,
        runner_up_score=_runner_up_score(votes, ranking, order),
        score_unit=ranking.unit,
        probability=probability,
        flags=flags_of(votes, order),
        n_wanted=len(candidates) if n_wanted is None else n_wanted,
        regret=NAN if n_wanted is None else regret_of(votes, rule, n_wanted - len(candidates)),
        share=share,
    )
    # A program that defines no entry point returns on no input.
    successes = {
        c.id: 0.0
        for c in candidates
        if c.reason is None and votes.inputs and c.program_id not in votes.failed
    }
    for at, group in enumerate(members):
        successes.update((candidate.id, float(votes.success_P[at])) for candidate in group)
    return Ballot(selection, tuple(sorted(votes.positions)), clusters, successes)


def _share(votes: Votes, candidates: Sequence[Candidate], clusters: Sequence[Cluster]) -> float:
    """The share of the candidates that behave like the would-be winner.

    Those whose program did not load count as well: that the others failed is no agreement.
    """
    n_voting = sum(c.reason is None and c.program_id not in votes.failed for c in candidates)
    return len(clusters[0].members) / n_voting if clusters else NAN


def ranked_programs(votes: Votes, ranking: Ranking) -> list[int]:
    """The programs that can win, the winner first; `Ranking` says how ties are broken."""
    able = [int(at) for at in np.flatnonzero(~np.isnan(ranking.scores_P))]
    if ranking.is_lottery:
        waiting_P = waiting_times(votes)
        return sorted(able, key=lambda at: (-float(ranking.scores_P[at]), float(waiting_P[at])))
    success_P, perplexities_P = votes.success_P, votes.perplexities_P

    def rank(at: int) -> tuple[float, float, float, str]:
        f = float(perplexities_P[at])
        return (
            -float(ranking.scores_P[at]),
            -float(success_P[at]) if votes.inputs else 0.0,
            math.inf if math.isnan(f) else f,
            votes.programs[at],
        )

    return sorted(able, key=rank)


def _runner_up_score(votes: Votes, ranking: Ranking, order: Sequence[int]) -> float:
    """The best score outside the winner's cluster, in the rule's own sense of a cluster."""
    groups_P = votes.clusters_P if ranking.groups_P is None else ranking.groups_P
    others = (at for at in order if groups_P[at] != groups_P[order[0]])
    return next((float(ranking.scores_P[at]) for at in others), NAN)


def _members(votes: Votes, candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """Each program's candidates in the order of `fluency`: the first one is chosen."""
    groups: dict[str, list[Candidate]] = {program: [] for program in votes.programs}
    for candidate in candidates:
        if candidate.reason is None and candidate.program_id in groups:
            groups[candidate.program_id].append(candidate)
    return [sorted(groups[program], key=fluency) for program in votes.programs]


def fluency(candidate: Candidate) -> tuple[float, str, int]:
    """Sort key for candidates of one program: lowest f(r), then text, then index."""
    f = candidate.perplexity
    return (math.inf if math.isnan(f) else f, candidate.program, candidate.index)


def _clusters(
    votes: Votes, ranking: Ranking, order: Sequence[int], members: Sequence[Sequence[Candidate]]
) -> tuple[Cluster, ...]:
    groups: dict[int, list[int]] = {}
    for at in order:
        groups.setdefault(int(votes.clusters_P[at]), []).append(at)
    # Where a program was drawn, or several tie in f(r), the preferred one need not have the lowest.
    firsts = [members[group[0]][0] for group in groups.values()]
    return tuple(
        Cluster(
            members=(
                first,
                *sorted((c for at in group for c in members[at] if c is not first), key=fluency),
            ),
            success=float(votes.success_P[group[0]]) if votes.inputs else NAN,
            score=float(ranking.scores_P[group[0]]),
        )
        for first, group in zip(firsts, groups.values(), strict=True)
    )
