"""Rules that choose among a problem's candidates, behind one protocol.

consensus   the paper's rule (section 2.3.2), by outputs or by pass and fail
agreement   ours: agreement with all candidates, corrected for chance
ablations   the four arms of table 3
peers       what others published: CodeT, MBR over execution, SRank, semantic-entropy abstention
"""

from ucoder.consensus.selectors.protocol import Ranking, Rule, Selector
from ucoder.consensus.selectors.registry import SELECTORS, selector_named

__all__ = ["SELECTORS", "Ranking", "Rule", "Selector", "selector_named"]
