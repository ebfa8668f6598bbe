import json
import math
from dataclasses import dataclass

import pytest

from ucoder.analysis.numbers import describe, in_order, plain, share, tally
from ucoder.records import Reason


def test_a_distribution_by_hand():
    of = describe([4.0, 1.0, 3.0, 2.0])
    assert (of.n, of.mean, of.median, of.low, of.high) == (4, 2.5, 2.5, 1.0, 4.0)
    assert (of.q1, of.q3) == (1.75, 3.25)
    assert of.sd == pytest.approx(math.sqrt(5 / 3))


def test_a_distribution_of_nothing_is_undefined_rather_than_zero():
    of = describe([math.nan, math.inf])
    assert of.n == 0
    assert math.isnan(of.mean) and math.isnan(of.sd) and math.isnan(of.median)


def test_one_value_has_a_mean_and_no_spread():
    of = describe([7])
    assert (of.n, of.mean, of.q1, of.high) == (1, 7, 7, 7)
    assert math.isnan(of.sd)


def test_tallies_are_ordered_by_count_then_name():
    assert list(tally(["b", "a", "c", "c"]).items()) == [("c", 2), ("a", 1), ("b", 1)]
    assert in_order({"none": 0, "one": 1}) == {"one": 1}


def test_a_share_of_nothing_is_undefined():
    assert math.isnan(share(0, 0))
    assert share(1, 4) == 0.25


def test_undefined_numbers_become_null_in_json():
    @dataclass(frozen=True)
    class Inner:
        loss: float
        reason: Reason
        sizes: dict[int, int]

    values = plain({"inner": (Inner(math.nan, Reason.NO_CODE, {3: 1}),), "high": math.inf})
    assert json.dumps(values, allow_nan=False) == (
        '{"inner": [{"loss": null, "reason": "no_code", "sizes": {"3": 1}}], "high": null}'
    )
