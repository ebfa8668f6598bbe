"""The selectors by the names that a configuration uses."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ucoder.consensus.selectors import ablations, peers
from ucoder.consensus.selectors.agreement import by_agreement
from ucoder.consensus.selectors.consensus import by_outputs, by_pass_and_fail
from ucoder.consensus.selectors.protocol import Selector
from ucoder.errors import ConfigError

SELECTORS: Final[Mapping[str, Selector]] = MappingProxyType(
    {
        "consensus": by_outputs,
        "consensus_pass_fail": by_pass_and_fail,
        "agreement": by_agreement,
        "random": ablations.at_random,
        "cluster": ablations.by_largest_cluster,
        "low_perplexity": ablations.by_perplexity,
        "success_rate": ablations.by_success,
        "codet": peers.by_dual_agreement,
        "mbr_soft": peers.by_soft_risk,
        "mbr_hard": peers.by_hard_risk,
        "srank": peers.by_functional_overlap,
        "conself": peers.by_behavioural_consensus,
    }
)


def selector_named(name: str) -> Selector:
    """The selector of that name.

    Raises:
        ConfigError: There is none.
    """
    if name not in SELECTORS:
        raise ConfigError(f"selector {name!r} is unknown; known: {', '.join(SELECTORS)}")
    return SELECTORS[name]
