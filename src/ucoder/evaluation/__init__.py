"""Benchmarks run on a model and graded in the sandbox, and what the verdicts show.

    protocol         what a benchmark is: data, prompt, cutting and grading in one value
    registry         from a name to a benchmark; benchmarks/ holds the paper's six
    running          sample what is missing, grade it, keep both
    running          sample what is missing, grade it, keep both
    kept             answers and verdicts between evaluations, under all that they depend on
    samples, ledger  answers and verdicts as files
    cutting, grading, references, reference_checks, standard_input
                     ways of cutting and grading that benchmarks share
    statistics, comparison
                     pass@k, intervals, paired tests
    contamination    which of the run's own problems are also tasks of a benchmark

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
