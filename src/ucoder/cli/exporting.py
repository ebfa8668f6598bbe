"""`ucoder export`: the selected pairs as a chat data set for other trainers, with provenance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ucoder.errors import ConfigError, NothingToDo, command
from ucoder.files import replacing, write_atomically
from ucoder.runs import Run
from ucoder.runs.pairs import training_candidates
from ucoder.stages.consolidation import make_examples


def export_examples(
    path: Path, output: Path, iteration: int | None, *, replace: bool = False
) -> int:
    """Write the training examples of one iteration, or of all where None; return how many.

    Each row holds `messages` in the chat format that TRL, LLaMA-Factory and Axolotl read, and its
    provenance: run, model, iteration, problem, candidate, e(r*), f(r*), cluster sizes.

    Raises:
        ConfigError: The file's ending is neither .jsonl nor .parquet, or it exists and `replace` is
            false.
        RunError: The iteration has not begun.
        NothingToDo: Nothing has been selected, or only what must not be trained on.
        FileError: The file cannot be written; what was there before is untouched.
    """
    if output.suffix not in (".jsonl", ".parquet"):
        raise ConfigError(f"{output}: the ending says the format; give .jsonl or .parquet")
    if output.exists() and not replace:
        raise ConfigError(f"{output} exists; name another file, or replace it with --force")
    run = Run.open(path)
    if iteration is not None:
        run.require_iteration(iteration)
    rows: list[dict[str, Any]] = []
    for t in run.iterations() if iteration is None else [iteration]:
        rows += _rows(run, t)
    if not rows:
        raise NothingToDo(f"{path} holds no selected solution yet; see `{command('status', path)}`")
    if output.suffix == ".jsonl":
        write_atomically(output, "".join(json.dumps(row) + "\n" for row in rows))
    else:
        with replacing(output) as temporary:
            pq.write_table(pa.Table.from_pylist(rows), temporary, compression="zstd")
    return len(rows)


def _rows(run: Run, iteration: int) -> list[dict[str, Any]]:
    problems = {a.problem.id: a.problem for a in run.attempts.rows() if a.problem is not None}
    selections = {s.problem_id: s for s in run.selections(iteration).rows()}
    rows = []
    selected, config = training_candidates(run, iteration), run.config
    for example in make_examples(problems, selected, config.solutions, config.seed):
        selection, problem = selections[example.problem_id], problems[example.problem_id]
        rows.append(
            {
                "messages": [
                    {"role": "user", "content": example.prompt},
                    {"role": "assistant", "content": example.prefill + example.completion},
                ],
                "run": run.path.resolve().name,
                "model": run.config.model,
                "model_sha256": run.manifest.model.get("sha256", ""),
                "licence": run.manifest.model.get("licence"),
                "iteration": iteration,
                "problem_id": problem.id,
                "topic": problem.topic,
                "entry_point": problem.interface.name,
                "candidate_id": example.candidate_id,
                "success": selection.success,
                "perplexity": selection.perplexity,
                "cluster_sizes": list(selection.cluster_sizes),
            }
        )
    return rows
