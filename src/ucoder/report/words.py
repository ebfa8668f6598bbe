"""Numbers and comparisons as a reader wants them: short, with units, undefined as a dash."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ucoder.analysis.scores import ModelScore
from ucoder.analysis.summary import Summary

UNDEFINED = "\N{EN DASH}"
_BENCHMARKS = {"humaneval": "HumanEval"}


def number(value: float | None, digits: int = 2) -> str:
    """A number with so many decimals; whole numbers with thousands separated."""
    if value is None or not math.isfinite(value):
        return UNDEFINED
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"


def percent(value: float | None, digits: int = 0) -> str:
    """A share in percent."""
    if value is None or not math.isfinite(value):
        return UNDEFINED
    return f"{100 * value:.{digits}f}%"


def points(value: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    if not math.isfinite(value):
        return UNDEFINED
    return f"{100 * value:+.1f}".replace("-", "\N{MINUS SIGN}")


def duration(seconds: float | None) -> str:
    """Seconds as two neighbouring units at most."""
    if seconds is None or not math.isfinite(seconds):
        return UNDEFINED
    if seconds < 10:
        return f"{seconds:.1f} s"
    total = round(seconds)
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min {total % 60:02} s"
    return f"{total // 3600} h {total % 3600 // 60:02} min"


def plural(count: int, noun: str, many: str | None = None) -> str:
    """`1 problem`, `3 problems`."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def reason(value: str) -> str:
    """A stored reason or stage as words."""
    return value.replace("_", " ")


def benchmark(name: str) -> str:
    """A benchmark's name as its authors write it."""
    return _BENCHMARKS.get(name, name)


def model(index: int) -> str:
    """A model of the run, as method and paper name it."""
    return f"M{index}"


def interval(score: ModelScore) -> str:
    """The score with its interval."""
    if not score.n_run:
        return UNDEFINED
    return f"{percent(score.value, 1)} (95% interval {percent(score.low)} to {percent(score.high)})"


def comparison(score: ModelScore) -> str:
    """A model against M0 in a sentence that claims no more than the tasks show."""
    if score.paired is None:
        return "The starting point." if score.model_index == 0 else "M0 has no score to compare."
    pair = score.paired
    if not pair.n:
        return "No task was run for both models, so nothing can be said."
    changed = (
        f"Of {plural(pair.n, 'task')} that both answered, {pair.better} "
        f"{'was' if pair.better == 1 else 'were'} gained and {pair.worse} lost "
        f"({points(pair.difference)} points, p = {_p(pair.p)})"
    )
    if not pair.told_apart:
        return f"No difference from M0 can be told. {changed}."
    verdict = "Better" if pair.better > pair.worse else "Worse"
    return f"{verdict} than M0. {changed}."


def short_comparison(score: ModelScore) -> str:
    """The same in a few words, for a headline."""
    if score.paired is None or not score.paired.n:
        return "nothing to compare with"
    if not score.paired.told_apart:
        return f"no difference can be told (p = {_p(score.paired.p)})"
    better = score.paired.better > score.paired.worse
    return f"{'better' if better else 'worse'} than before (p = {_p(score.paired.p)})"


def _p(value: float) -> str:
    return f"{value:.2f}" if value >= 0.01 else f"{value:.1g}"


def abstract(summary: Summary) -> str:
    """The run in a paragraph: what went in, what came out, what can be said of it."""
    space, inputs = summary.problem_space, summary.input_space
    if not space.n_attempts:
        return "The run has started and has no records yet."
    sentences = [
        f"Starting from {summary.model} and nothing else, "
        f"{plural(space.n_attempts, 'attempt')} gave {plural(space.n_accepted, 'problem')}"
        + (f", {inputs.n_usable:,} with usable test inputs." if inputs.n_suites else ".")
    ]
    for iteration in summary.iterations[:1]:
        sentences.append(
            f"{plural(iteration.n_candidates, 'candidate solution')} were sampled; after "
            f"{plural(iteration.n_calls, 'sandboxed call')}, consensus selected a program for "
            f"{iteration.n_selected:,} of {plural(iteration.n_decided, 'problem')}."
        )
    trained = [i for i in summary.iterations if i.checkpoint is not None]
    if trained:
        sentences.append(
            f"The model was fine-tuned {_times(len(trained))} on its own selected solutions."
        )
    for name in dict.fromkeys(score.benchmark for score in summary.scores):
        sentences += _change(summary, name)
    return " ".join(sentences)


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _change(summary: Summary, name: str) -> Iterable[str]:
    scores = [score for score in summary.scores if score.benchmark == name]
    first, last = scores[0], scores[-1]
    if first is last or first.model_index != 0:
        yield f"{benchmark(name)} pass@1 of {model(first.model_index)} is {interval(first)}."
        return
    yield (
        f"{benchmark(name)} pass@1 went from {percent(first.value, 1)} to "
        f"{percent(last.value, 1)}: {short_comparison(last)}."
    )
