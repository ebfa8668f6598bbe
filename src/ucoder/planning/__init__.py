"""What a run will take, before it; how far off that was, after it.

ranges         a number with its likeliest value and its ends
assumptions    what is assumed about a model, and where each figure comes from
observed       the same, from a run of one's own
answers        how much the benchmarks ask for
expectations   what a configuration does, by stage
disk           what it leaves
memory         what training takes of each GPU
rates          how fast a machine is (`hardware` names it)
durations      how long the work takes at these rates
plan           all of it
review         a plan against its run
"""

from ucoder.planning.assumptions import MEASURED, Assumptions
from ucoder.planning.observed import observed
from ucoder.planning.plan import Plan, make_plan
from ucoder.planning.ranges import Range
from ucoder.planning.rates import Rates, kept_rates_path, read_rates, stated_rates, write_rates
from ucoder.planning.review import Review, read_plan, review, write_plan

__all__ = [
    "MEASURED",
    "Assumptions",
    "Plan",
    "Range",
    "Rates",
    "Review",
    "kept_rates_path",
    "make_plan",
    "observed",
    "read_plan",
    "read_rates",
    "review",
    "stated_rates",
    "write_plan",
    "write_rates",
]
