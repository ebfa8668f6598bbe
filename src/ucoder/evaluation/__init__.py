"""Scores: benchmarks put to a model, graded in the sandbox, and what may be said from the verdicts.

    protocol         what a benchmark is: data, prompt, cutting, grading, in one value
    registry         from a name to a benchmark; benchmarks/ holds the paper's six
    running          sample what is missing, grade it, keep both
    samples, ledger  answers and verdicts as files
    cutting, grading, references, reference_checks, standard_input
                     ways of cutting and grading that benchmarks share
    statistics, comparison
                     pass@k, intervals, paired tests
    contamination    whether the run's own problems are a benchmark's

A benchmark of your own needs `Benchmark`, `Task`, `Dataset` and a way of grading:
docs/evaluation.md shows one on a page.
"""

from ucoder.evaluation.protocol import (
    Benchmark,
    Dataset,
    ExecutionRequirements,
    Grade,
    Grader,
    GradingContext,
    Task,
)

__all__ = [
    "Benchmark",
    "Dataset",
    "ExecutionRequirements",
    "Grade",
    "Grader",
    "GradingContext",
    "Task",
]
