"""The page's texts: clipped text, numbers, comparisons, the abstract. Undefined is a dash."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from ucoder.analysis.scores import ModelScore
from ucoder.analysis.summary import Summary
from ucoder.evaluation.comparison import PairedTest
from ucoder.evaluation.registry import title_of

UNDEFINED = "\N{EN DASH}"
_MAX_SENTENCES = 3
"""The abstract describes up to this many benchmarks one by one, and counts more."""


def clip(text: str, max_chars: int, max_lines: int = 1_000_000) -> str:
    """The start of a text, and how much was left out if it is longer."""
    lines = text.split("\n", max_lines)
    kept = "\n".join(lines[:max_lines])[:max_chars]
    left_out = len(text) - len(kept)
    return f"{kept} … ({left_out:,} more characters)" if left_out else text


def middle_clip(text: str, max_chars: int) -> str:
    """The start and the end of a text: outputs often differ at their ends."""
    if len(text) <= max_chars:
        return text
    tail = max_chars // 3
    return f"{text[: max_chars - tail - 1]}…{text[len(text) - tail :]}"


def number(value: float | None, digits: int = 2) -> str:
    """A number with this many decimals; an integer with thousands separated."""
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
    """Seconds in at most two neighbouring units."""
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


def model(index: int) -> str:
    """A model of the run, as method and paper name it."""
    return f"M{index}"


def interval(score: ModelScore) -> str:
    """The score with its interval."""
    if not score.n_run:
        return UNDEFINED
    return f"{percent(score.value, 1)} (95% interval {percent(score.low)} to {percent(score.high)})"


def change(pair: PairedTest) -> str:
    """A difference in percentage points, with its interval."""
    if not pair.n:
        return UNDEFINED
    return f"{points(pair.difference)} [{points(pair.low)}, {points(pair.high)}]"


def verdict(pair: PairedTest) -> str:
    """What the tasks show about a difference."""
    if not pair.n:
        return "no task was run for both"
    if not pair.told_apart:
        return "no difference can be told"
    return "better" if pair.difference > 0 else "worse"


def evidence(pair: PairedTest) -> str:
    """The evidence for a verdict: tasks that changed, and p."""
    if not pair.n:
        return ""
    left_out = f", {pair.n_left_out:,} left out" if pair.n_left_out else ""
    said = (
        f"{pair.better:,} up, {pair.worse:,} down of {plural(pair.n, 'task')}{left_out}; "
        f"{_p(pair.p)}"
    )
    if pair.p_corrected != pair.p:
        said += f", corrected {_p(pair.p_corrected).removeprefix('p = ').removeprefix('p ')}"
    return said


def short_comparison(score: ModelScore) -> str:
    """A model against M0 in a few words, for a headline."""
    pair = score.paired
    if pair is None or not pair.n:
        return "nothing to compare with"
    than = " than before" if pair.told_apart else ""
    return f"{verdict(pair)}{than} ({_p(pair.p_corrected)})"


def comparisons(scores: Sequence[ModelScore]) -> str:
    """How the page's models are compared, and how often; "" without comparisons."""
    with_first = sum(1 for s in scores if s.paired and s.paired.n)
    with_previous = sum(1 for s in scores if s.model_index > 1 and s.previous and s.previous.n)
    if not with_first and not with_previous:
        return ""
    how = (
        "Models are compared on the tasks that were run for both: the difference of pass@1 is in "
        "percentage points, with its 95% interval, and p is that of McNemar's exact test or, for "
        "several samples a task, of a permutation test that swaps the two models task by task."
    )
    if with_first + with_previous == 1:
        return how
    counted = f"{plural(with_first, 'comparison')} with M0"
    if with_previous:
        counted += f" and {with_previous:,} with the model before"
    return (
        f"{how} There are {counted}. Of comparisons between equal models one in twenty has p below "
        f"0.05 by chance alone, so p is given a second time, after Holm's correction for their "
        f"number (in each of the two columns by itself), and a model is called better or worse "
        f"only where the corrected p is below 0.05."
    )


def _p(value: float) -> str:
    if value < 0.001:
        return "p < 0.001"
    return f"p = {value:.2f}" if value >= 0.01 else f"p = {value:.3f}"


def abstract(summary: Summary) -> str:
    """The run in a paragraph: its inputs, its results and what they show."""
    space, inputs = summary.problem_space, summary.input_space
    if not space.n_attempts:
        return "The run has started and has no records yet."
    sentences = [
        f"Starting from {summary.model} and nothing else, "
        f"{plural(space.n_attempts, 'attempt')} gave {plural(space.n_accepted, 'problem')}"
        + (f", {inputs.n_usable:,} with usable test inputs." if inputs.n_suites else ".")
    ]
    for iteration in summary.iterations[:1]:
        at = "In iteration 0, " if len(summary.iterations) > 1 else ""
        sentences.append(
            f"{at}{plural(iteration.n_candidates, 'candidate solution')} were sampled; after "
            f"{plural(iteration.n_calls, 'sandboxed call')}, the selector "
            f"{summary.targets.selector} chose a program for "
            f"{iteration.n_selected:,} of {plural(iteration.n_decided, 'problem')}."
        )
    trained = [i for i in summary.iterations if i.checkpoint is not None]
    if trained:
        sentences.append(
            f"The model was fine-tuned {_times(len(trained))} on its own selected solutions."
        )
    names = list(dict.fromkeys(score.benchmark for score in summary.scores))
    if len(names) > _MAX_SENTENCES:
        sentences.append(_changes(summary, names))
    else:
        for name in names:
            sentences += _change(summary, name)
    return " ".join(sentences)


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _change(summary: Summary, name: str) -> Iterable[str]:
    scores = [score for score in summary.scores if score.benchmark == name]
    first, last = scores[0], scores[-1]
    if first is last or first.model_index != 0:
        yield f"{title_of(name)} pass@1 of {model(first.model_index)} is {interval(first)}."
        return
    yield (
        f"{title_of(name)} pass@1 went from {percent(first.value, 1)} to "
        f"{percent(last.value, 1)}: {short_comparison(last)}."
    )


def _changes(summary: Summary, names: Sequence[str]) -> str:
    last = [[s for s in summary.scores if s.benchmark == name][-1] for name in names]
    pairs = [score.paired for score in last if score.paired is not None and score.paired.n]
    if not pairs:
        return f"It was scored on {len(names)} benchmarks."
    better = sum(pair.told_apart and pair.difference > 0 for pair in pairs)
    worse = sum(pair.told_apart and pair.difference < 0 for pair in pairs)
    return (
        f"Of {len(pairs)} benchmarks, the last model scored is better than M0 on {better} and "
        f"worse on {worse}; on {len(pairs) - better - worse} no difference can be told."
    )
