"""`ucoder export`: training and preference pairs for other trainers, with provenance."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ucoder.errors import ConfigError, NothingToDo, command
from ucoder.files import replacing, write_atomically
from ucoder.pairs.making import Pairs, make_pairs
from ucoder.records import Problem
from ucoder.runs import Run


def export_examples(
    path: Path, output: Path, iteration: int | None, *, replace: bool = False
) -> int:
    """Write the training examples of one iteration, or of all where None; return how many.

    Each row holds `messages` in the chat format that TRL, LLaMA-Factory and Axolotl read, what the
    pair is (kind, weight, difficulty), and its provenance: run, model, iteration, problem,
    candidate, e(r*), f(r*), cluster sizes.

    Raises:
        ConfigError: The file's ending is neither .jsonl nor .parquet, or it exists and `replace` is
            false.
        RunError: The iteration has not begun, or the problems have not been compared with
            benchmarks yet.
        NothingToDo: Nothing has been selected, or only what must not be trained on.
        FileError: The file cannot be written; what was there before is untouched.
    """
    return _export(path, output, iteration, _example_rows, "selected solution", replace=replace)


def export_preferences(
    path: Path, output: Path, iteration: int | None, *, replace: bool = False
) -> int:
    """Write the preference pairs of one iteration, or of all where None; return how many.

    Each row holds `prompt`, `chosen` and `rejected` as messages, TRL's conversational preference
    format, an input on which the two programs differ with what each did on it, and the provenance.

    Raises:
        UcoderError: As `export_examples`.
    """
    return _export(path, output, iteration, _preference_rows, "preference pair", replace=replace)


_Row = dict[str, Any]


def _export(
    path: Path, output: Path, iteration: int | None,
    rows_of: Callable[[Run, int], list[_Row]], what: str, *, replace: bool,
) -> int:  # fmt: skip
    if output.suffix not in (".jsonl", ".parquet"):
        raise ConfigError(f"{output}: the ending says the format; give .jsonl or .parquet")
    if output.exists() and not replace:
        raise ConfigError(f"{output} exists; name another file, or replace it with --force")
    run = Run.open(path)
    if iteration is not None:
        run.require_iteration(iteration)
    rows: list[_Row] = []
    for t in run.iterations() if iteration is None else [iteration]:
        rows += rows_of(run, t)
    if not rows:
        raise NothingToDo(f"{path} holds no {what} yet; see `{command('status', path)}`")
    if output.suffix == ".jsonl":
        write_atomically(output, "".join(json.dumps(row) + "\n" for row in rows))
    else:
        with replacing(output) as temporary:
            pq.write_table(pa.Table.from_pylist(rows), temporary, compression="zstd")
    return len(rows)


def _pairs(run: Run, iteration: int) -> Pairs:
    """The pairs of an iteration: those on record, or what its selections so far would give."""
    if examples := run.examples(iteration).rows():
        # Those that a benchmark was found to ask since then are left out here as well.
        left_out = run.contaminated()
        return Pairs(
            [one for one in examples if one.problem_id not in left_out],
            [p for p in run.preferences(iteration).rows() if p.problem_id not in left_out],
            run.pair_choices(iteration).rows(),
        )
    return make_pairs(run, iteration, _problems(run).values())


def _example_rows(run: Run, iteration: int) -> list[_Row]:
    pairs, provenance = _pairs(run, iteration), _Provenance(run, iteration)
    choices = {choice.problem_id: choice for choice in pairs.choices}
    rows = []
    for example in pairs.examples:
        choice = choices.get(example.problem_id)
        rows.append(
            {
                "messages": [
                    {"role": "user", "content": example.prompt},
                    {"role": "assistant", "content": example.prefill + example.completion},
                ],
                "kind": example.kind.value,
                "weight": example.weight,
                "difficulty": choice.difficulty.value if choice else None,
                "evidence": choice.evidence.value if choice else None,
                **provenance.of(example.problem_id),
                "candidate_id": example.candidate_id,
            }
        )
    return rows


def _preference_rows(run: Run, iteration: int) -> list[_Row]:
    provenance = _Provenance(run, iteration)
    return [
        {
            "prompt": [{"role": "user", "content": pair.prompt}],
            "chosen": [{"role": "assistant", "content": pair.prefill + pair.chosen}],
            "rejected": [{"role": "assistant", "content": pair.prefill + pair.rejected}],
            "arguments": pair.arguments,
            "chosen_outcome": pair.chosen_outcome,
            "rejected_outcome": pair.rejected_outcome,
            **provenance.of(pair.problem_id),
            "chosen_id": pair.chosen_id,
            "rejected_id": pair.rejected_id,
        }
        for pair in _pairs(run, iteration).preferences
    ]


def _problems(run: Run) -> dict[str, Problem]:
    return {a.problem.id: a.problem for a in run.attempts.stream() if a.problem is not None}


class _Provenance:
    """Where the pairs of one iteration come from, by problem."""

    def __init__(self, run: Run, iteration: int) -> None:
        self._problems = _problems(run)
        self._selections = {s.problem_id: s for s in run.selections(iteration).rows()}
        self._same = {
            "run": run.path.resolve().name,
            "model": run.config.model,
            "model_sha256": run.manifest.model.get("sha256", ""),
            "licence": run.manifest.model.get("licence"),
            "iteration": iteration,
        }

    def of(self, problem_id: str) -> _Row:
        problem, selection = self._problems[problem_id], self._selections[problem_id]
        return {
            **self._same,
            "problem_id": problem.id,
            "topic": problem.topic,
            "entry_point": problem.interface.name,
            "success": selection.success,
            "perplexity": selection.perplexity,
            "cluster_sizes": list(selection.cluster_sizes),
        }
