"""Rules that choose among a problem's candidates, by the names that `solutions.selector` takes.

ranking     what a selector is, and what all of them share
paper       the paper's rule, by outputs or by pass and fail, and the four arms of table 3
agreement   ours: agreement with all candidates, corrected for chance
peers       published ones: CodeT, MBR over execution, SRank, semantic-entropy abstention

The names are defined in `ucoder.config.SelectorName`, the functions here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, cast

from ucoder.config import SelectorName
from ucoder.consensus.selectors import paper, peers
from ucoder.consensus.selectors.agreement import by_agreement
from ucoder.consensus.selectors.ranking import Ranking, Rule, Selector
from ucoder.errors import ConfigError

__all__ = ["ON_OWN_INPUTS", "SELECTORS", "Ranking", "Rule", "Selector", "selector_named"]

_BY_NAME: Final[dict[SelectorName, Selector]] = {
    "consensus": paper.by_outputs,
    "consensus_pass_fail": paper.by_pass_and_fail,
    "agreement": by_agreement,
    "random": paper.at_random,
    "cluster": paper.by_largest_cluster,
    "low_perplexity": paper.by_perplexity,
    "success_rate": paper.by_success,
    "codet": peers.by_dual_agreement,
    "mbr_soft": peers.by_soft_risk,
    "mbr_hard": peers.by_hard_risk,
    "srank": peers.by_functional_overlap,
    "conself": peers.by_behavioural_consensus,
}
SELECTORS: Final[Mapping[str, Selector]] = MappingProxyType(cast("dict[str, Selector]", _BY_NAME))

ON_OWN_INPUTS: Final[frozenset[SelectorName]] = frozenset(
    {"consensus", "cluster", "mbr_hard", "srank"}
)
"""Selectors to which an input that nobody asked for does more harm than good: they count programs
with equal outputs on every input, so one invalid input splits programs that are right."""


def selector_named(name: str) -> Selector:
    """The selector of that name.

    Raises:
        ConfigError: The selector is unknown; the message lists the known ones.
    """
    if name not in SELECTORS:
        raise ConfigError(f"selector {name!r} is unknown; known: {', '.join(SELECTORS)}")
    return SELECTORS[name]
