"""What a reader must not conclude from a run, with the run's own numbers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ucoder.analysis.numbers import in_order
from ucoder.analysis.solution_space import Iteration
from ucoder.analysis.summary import Summary
from ucoder.evaluation.registry import title_of
from ucoder.report.words import plural, reason

if TYPE_CHECKING:
    from ucoder.runs import Run

_PAPER_PROBLEMS = 16_867
_PAPER_CANDIDATES = 128
_PAPER_ITERATIONS = 7
_WIDE_HALF_WIDTH = 0.03
"""A half width above which an interval hides the differences that papers report."""


def limits(run: Run, summary: Summary, iteration: Iteration | None) -> list[str]:
    """The limits that apply to this run, most important first."""
    setting = summary.setting
    return [
        *([f"{setting[0].upper()}{setting[1:]}."] if setting else []),
        *_of_scores(run, summary),
        *_of_size(run, summary),
        *_of_execution(run, iteration),
        "One run with one seed: another seed would give other problems, other candidates and "
        "another model.",
        "Consensus is agreement, not proof. Programs of one model can share one mistake; theorem "
        "2.4 of the paper assumes that they do not.",
    ]


def _of_scores(run: Run, summary: Summary) -> list[str]:
    said = []
    n_tasks = run.config.evaluation.n_tasks
    if n_tasks is not None:
        said.append(
            f"Scores are on a fixed, evenly spread subset of {plural(n_tasks, 'task')} of each "
            f"benchmark, not on all of it; do not compare them with published ones."
        )
    widths = {
        score.benchmark: 50 * (score.high - score.low)
        for score in summary.scores
        if score.model_index == 0 and (score.high - score.low) / 2 > _WIDE_HALF_WIDTH
    }
    if widths:
        about = ", ".join(f"±{width:.0f} on {title_of(name)}" for name, width in widths.items())
        said.append(
            f"With this few tasks, each score is uncertain by about this many percentage points: "
            f"{about}. A smaller difference is detectable only if nearly all tasks that changed "
            f"changed in the same direction."
        )
    not_run: Counter[str] = Counter()
    for score in summary.scores:
        not_run.update(score.not_run)
    if not_run:
        reasons = ", ".join(f"{reason(why)} {count:,}" for why, count in in_order(not_run).items())
        said.append(
            f"{plural(not_run.total(), 'answer')} to benchmark tasks could not be run ({reasons}); "
            f"such answers count neither as right nor as wrong."
        )
    return said


def _of_size(run: Run, summary: Summary) -> list[str]:
    said = []
    smaller = []
    n_problems, n = summary.problem_space.n_accepted, run.config.solutions.n
    if n_problems < _PAPER_PROBLEMS:
        smaller.append(f"{plural(n_problems, 'problem')} instead of {_PAPER_PROBLEMS:,}")
    if n < _PAPER_CANDIDATES:
        smaller.append(f"{n} candidates a problem instead of {_PAPER_CANDIDATES}")
    done = sum(i.checkpoint is not None for i in summary.iterations)
    if done < _PAPER_ITERATIONS:
        smaller.append(f"{plural(done, 'iteration')} instead of {_PAPER_ITERATIONS}")
    if smaller:
        said.append(f"Smaller than the paper's runs: {', '.join(smaller)}.")
    if run.config.consolidation.objective == "dpo":
        said.append("Fine-tuning learnt preferences; the paper learns the selected programs.")
    if run.config.consolidation.lora is not None:
        said.append("Fine-tuning moved a low-rank adapter only; the paper fine-tunes all weights.")
    return said


def _of_execution(run: Run, iteration: Iteration | None) -> list[str]:
    said = []
    if "unsafe" in f"{run.manifest.executor} {run.config.executor.provider}":
        said.append("Programs ran without isolation, as the configuration asked by name.")
    if iteration is not None:
        dropped = iteration.n_inputs - iteration.n_kept_inputs
        if dropped:
            said.append(
                f"{dropped:,} of {plural(iteration.n_inputs, 'test input')} did not count, because "
                f"hardly any candidate could run them, or because the rule takes only the "
                f"model's own inputs."
            )
        if iteration.n_sandbox_failures:
            said.append(
                f"The sandbox failed on {plural(iteration.n_sandbox_failures, 'candidate')}: they "
                f"had no vote."
            )
    if run.manifest.engine.get("honours_seeds") is False:
        said.append("The engine does not honour seeds: running this again gives other samples.")
    return said
