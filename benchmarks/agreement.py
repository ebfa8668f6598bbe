"""What two harnesses say about the same programs: where they agree, and why where they do not."""

from __future__ import annotations

import pickle
import zlib
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from oracle import NOT_NONE, is_right, tolerance

from ucoder.execution import Outcome, OutcomeKind, Verdict
from ucoder.execution.canonical import CanonicalError, parse, write

PARTS = ("base", "plus")
MAX_CHARS = 1 << 26
"""Longest result, in characters; some of EvalPlus's inputs give megabytes."""

Task = dict[str, Any]


@dataclass
class Judged:
    """A program and its verdicts; the details are for people."""

    task_id: str
    source: str = field(repr=False)
    change: str
    check: str = ""
    check_detail: str = ""
    script: str = ""
    call: dict[str, str] = field(default_factory=dict)
    call_detail: dict[str, str] = field(default_factory=dict)
    evalplus: dict[str, str] = field(default_factory=dict)
    human_eval: str = ""

    @property
    def by_check(self) -> bool:
        """Passed the test script."""
        return self.check == Verdict.PASSED

    @property
    def by_call(self) -> bool:
        """Every output was right."""
        return all(self.call[part] == "right" for part in PARTS)

    @property
    def by_evalplus(self) -> bool:
        """Passed EvalPlus's base and additional inputs."""
        return all(self.evalplus[part] == "pass" for part in PARTS)


class Truth:
    """One task's expected outputs, as EvalPlus's own process made them, and their texts."""

    def __init__(self, reply: dict[str, tuple[bytes, list[float]]]) -> None:
        """Unpack what `evalplus_helper` sent."""
        self.outputs = {part: pickle.loads(zlib.decompress(reply[part][0])) for part in PARTS}
        self.texts = {part: [_text(value) for value in self.outputs[part]] for part in PARTS}
        self.seconds = sum(sum(reply[part][1]) for part in PARTS)


def _text(value: Any) -> str | None:
    try:
        return write(value, max_chars=MAX_CHARS)
    except CanonicalError:
        return None


def grade(task: Task, part: str, found: tuple[Outcome, ...], truth: Truth) -> str:
    """Compare one part's outcomes with the expected outputs: "right", or the first that is not.

    Match objects do not leave the sandbox; where EvalPlus asks only whether there is one, that
    a value is not representable is answer enough.
    """
    only_not_none = task["dataset"] == "mbpp" and task["entry_point"] in NOT_NONE
    atol = task["atol"]
    expected_outputs, texts = truth.outputs[part], truth.texts[part]
    for i, (outcome, expected) in enumerate(zip(found, expected_outputs, strict=True)):
        there = only_not_none and outcome.kind is OutcomeKind.NOT_REPRESENTABLE
        if outcome.kind is not OutcomeKind.RETURNED and not there:
            return f"{part} input {i}: {outcome.kind} {outcome.text[:100]}"
        # Equal texts spare parsing megabytes; but NaN is not equal to itself.
        same = outcome.text == texts[i] and not only_not_none and "nan" not in outcome.text
        if not same:
            value = object() if there else parse(outcome.text, max_chars=MAX_CHARS)
            if not is_right(task, task[f"{part}_input"][i], value, expected, atol):
                return f"{part} input {i}: {outcome.text[:60]} for {str(texts[i])[:60]}"
        atol = tolerance(atol, expected)
    return "right"


def reason(judged: Judged) -> str:
    """Say in a word why `call` and EvalPlus differ."""
    details = " ".join(judged.call_detail.values())
    for kind in (
        OutcomeKind.NOT_REPRESENTABLE,
        OutcomeKind.OUTPUT_TOO_LARGE,
        OutcomeKind.OUT_OF_MEMORY,
        OutcomeKind.SANDBOX_FAILED,
    ):
        if f": {kind}" in details:
            return str(kind)
    if OutcomeKind.TIMED_OUT in details or "timeout" in judged.evalplus.values():
        return "time"
    if judged.by_evalplus:
        return "raised for call only" if ": raised" in details else "wrong for call only"
    return "wrong for EvalPlus only"


def _crossed(pairs: list[tuple[bool, bool]]) -> dict[str, int]:
    """Count pairs of verdicts: ours, then EvalPlus's."""
    counts = Counter(pairs)
    return {
        "both pass": counts[True, True],
        "both fail": counts[False, False],
        "ours alone passes": counts[True, False],
        "EvalPlus alone passes": counts[False, True],
    }


def differences(programs: list[Judged]) -> dict[str, Any]:
    """Count agreements, and name the rest."""
    differing = [judged for judged in programs if judged.by_call != judged.by_evalplus]
    base = [j for j in programs if j.by_check != (j.evalplus["base"] == "pass")]
    families: dict[str, list[int]] = {}
    for judged in programs:
        count = families.setdefault(judged.change.partition(":")[0], [0, 0])
        count[0] += 1
        count[1] += judged.by_evalplus
    return {
        "n": len(programs),
        "n_tasks": len({judged.task_id for judged in programs}),
        "families": families,
        "timed_out": sum(
            any(OutcomeKind.TIMED_OUT in detail for detail in judged.call_detail.values())
            for judged in programs
        ),
        "call": _crossed([(j.by_call, j.by_evalplus) for j in programs]),
        "call_reasons": dict(Counter(map(reason, differing))),
        "call_differs": [{"reason": reason(judged), **asdict(judged)} for judged in differing],
        "check": _crossed([(j.by_check, j.evalplus["base"] == "pass") for j in programs]),
        "check_differs": [asdict(judged) for judged in base],
    }
