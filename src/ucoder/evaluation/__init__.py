"""Scores: benchmarks run in the sandbox, and what may be said from their verdicts."""
