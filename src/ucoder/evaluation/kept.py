"""Answers and verdicts of evaluations outside a run, kept under all that they depend on.

An answer is kept under the model, the engine and the request: the rendered prompt, the decoding,
the seed. A verdict is kept under the programs, the data, the code that grades, the packages that
programs can import, and what else the caller names. So whatever changes is asked or graded again,
and nothing else is. What was not run, and answers that were lost, are kept for this process alone:
the next one may have the library, the network or the server that was missing.

A grader that reads further files while it grades has inputs that are not seen here: put their
content into the tasks' fields.
"""

from __future__ import annotations

import hashlib
import pickle
import sys
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final, Generic, TypeVar

from ucoder.evaluation.ledger import Ledger
from ucoder.evaluation.protocol import Benchmark
from ucoder.evaluation.records import Answer, Score
from ucoder.evaluation.reference_checks import environment_fingerprint
from ucoder.evaluation.running import Evaluation, task_key
from ucoder.execution.payload import library_folders
from ucoder.records import digest

T = TypeVar("T", Answer, Score)

_GRADING: Final = ("evaluation/**/*", "execution/**/*", "texts.py")
"""The code that decides a verdict."""


class ByContent(Generic[T]):
    """A ledger by tasks' keys, whose entries are named by content as well; see `Keyed`.

    Args:
        path: The ledger's file.
        record: The rows' class.
        keys: Those of all tasks.
        content: What the rows of a key depend on, as a short text; None while that is unknown.
        keeps: Whether a row may outlive this process.
        read: Applied to each row that is read.
    """

    def __init__(
        self,
        path: Path,
        record: type[T],
        keys: Iterable[str],
        content: Callable[[str], str | None],
        keeps: Callable[[T], bool],
        read: Callable[[str, T], T] = lambda key, row: row,
    ) -> None:
        self._ledger: Ledger[T] = Ledger(path, record)
        self._all, self._content = set(keys), content
        self._keeps: Callable[[T], bool] = keeps
        self._read: Callable[[str, T], T] = read
        self._made: dict[str, list[T]] = {}

    def put(self, key: str, rows: Iterable[T]) -> None:
        """See `Keyed.put`."""
        self._made[key] = list(rows)
        if (name := self._name(key)) is not None and all(map(self._keeps, self._made[key])):
            self._ledger.put(name, self._made[key])

    def get(self, key: str) -> list[T]:
        """See `Keyed.get`."""
        if key not in self._made:
            rows = self._ledger.get(self._name(key) or "")
            if not rows:
                return []
            self._made[key] = [self._read(key, row) for row in rows]
        return self._made[key]

    def keys(self) -> set[str]:
        """See `Keyed.keys`."""
        stored = self._ledger.keys()
        return {key for key in self._all if key in self._made or self._name(key) in stored}

    def forget(self) -> None:
        """Delete what is kept."""
        self._ledger.path.unlink(missing_ok=True)
        self._ledger, self._made = Ledger(self._ledger.path, self._ledger.record), {}

    def _name(self, key: str) -> str | None:
        content = self._content(key)
        return None if content is None else f"{key}.{content}"


class KeptTables:
    """The tables of one evaluation (`running.Tables`), in the cache.

    Args:
        evaluation: Which.
        answers_of: Identity of the model and of the engine that answers; or of the programs, where
            they were made elsewhere.
        grading: What verdicts depend on besides what the evaluation knows, such as the sandbox.
        is_chat: Whether prompts go through a chat template.
        programs: The programs of a task's key, where they were made elsewhere.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        answers_of: Sequence[object],
        grading: Sequence[object],
        *,
        is_chat: bool = False,
        programs: Callable[[str], Sequence[str]] | None = None,
    ) -> None:
        benchmark = evaluation.benchmark
        tasks = {task_key(task.id): task for task in evaluation.tasks.tasks}
        requests = {
            key: digest(is_chat, evaluation.request(task, is_chat)) for key, task in tasks.items()
        }
        # The program is cut anew, because the benchmark's cutting may have changed.
        self._answers = ByContent(
            evaluation.cache / "answers" / f"{digest(*answers_of)}.jsonl", Answer, tasks,
            requests.get, lambda row: row.finish_reason.lost is None,
            lambda key, row: replace(
                row, program=benchmark.program(tasks[key], row.completion, is_chat)
            ),
        )  # fmt: skip

        def graded(key: str) -> str | None:
            if programs is not None:
                return digest(*programs(key))
            rows = self._answers.get(key)
            return digest(*(f"{row.finish_reason} {row.program}" for row in rows)) if rows else None

        identity = digest(*answers_of, *grading, *_graded_by(evaluation))
        self._scores = {
            name: ByContent(
                evaluation.cache / "scores" / f"{identity}-{name}.jsonl", Score, tasks, graded,
                lambda row: row.passed is not None,
            )
            for name in benchmark.scores
        }  # fmt: skip

    def answers(self, prompts: str) -> ByContent[Answer]:
        """See `Tables.answers`."""
        return self._answers

    def scores(self, benchmark: str) -> ByContent[Score]:
        """See `Tables.scores`."""
        return self._scores[benchmark]

    def forget_scores(self) -> None:
        """Delete the kept scores, so that everything is graded again."""
        for table in self._scores.values():
            table.forget()


def _graded_by(evaluation: Evaluation) -> list[object]:
    """What the verdicts on given programs depend on, as far as it is the benchmark's."""
    benchmark, dataset = evaluation.benchmark, evaluation.tasks.dataset
    environment = environment_fingerprint(library_folders(benchmark.needs.preload))
    own = [] if benchmark.source is None else [_content(evaluation), _code_beside(benchmark)]
    return [benchmark.name, benchmark.needs, dataset.sha256, environment, _package_code(), *own]


def _content(evaluation: Evaluation) -> str:
    """A digest of a user's own tasks, whose checksum may be anything.

    Where they hold what cannot be told from another process's, no two digests are the same.
    """
    tasks = evaluation.tasks.dataset.tasks
    try:
        content = pickle.dumps([(one.id, one.text, one.entry_point, one.fields) for one in tasks])
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError):
        return uuid.uuid4().hex
    return hashlib.sha256(content).hexdigest()


def _code_beside(benchmark: Benchmark) -> str:
    """A digest of a user's own code: its file, those beside it, and modules loaded from below."""
    assert benchmark.source is not None
    folder = benchmark.source.resolve().parent
    loaded = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    below = {Path(file) for file in loaded if file and folder in Path(file).parents}
    own = {path for path in below if "site-packages" not in path.parts} - _package_files()
    return _digest_of({benchmark.source, *folder.glob("*.py"), *own})


@cache
def _package_code() -> str:
    return _digest_of(_package_files())


@cache
def _package_files() -> frozenset[Path]:
    root = Path(__file__).parents[1]
    files = (path for pattern in _GRADING for path in root.glob(pattern))
    return frozenset(path for path in files if path.suffix in (".py", ".yaml"))


def _digest_of(files: Iterable[Path]) -> str:
    return digest(*(line for path in sorted(files) for line in (path.name, path.read_bytes())))
