"""A run's folder: made once, locked while somebody writes, readable by anybody at any time."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock, Timeout

from ucoder.config import RunConfig, parse_config
from ucoder.errors import (
    FileError,
    ModelError,
    NotARun,
    RunError,
    RunExists,
    RunLocked,
    command,
)
from ucoder.evaluation.contamination import Match
from ucoder.evaluation.records import Answer, Score
from ucoder.files import TEMPORARY, file_error, storing, write_atomically
from ucoder.models import load_catalog
from ucoder.records import (
    NAN,
    Attempt,
    Candidate,
    Checkpoint,
    Example,
    Execution,
    Judgement,
    PairChoice,
    PreferencePair,
    Selection,
    TestSuite,
    TopicNode,
)
from ucoder.runs.journal import Journal
from ucoder.runs.log import RunLog
from ucoder.runs.tables import Table

MANIFEST_VERSION = 4
"""2: the configuration's keys are `max_concurrency` and `solutions.distinguishing_inputs`. 3: the
shards of answers and scores have other names, so that an older run would hold tasks twice. 4:
attempts hold every rating and what was left out, and `problems.topics` is never null."""
_LIBRARIES = (
    "ucoder", "openvino-genai", "vllm", "transformers", "torch", "trl", "peft", "pyarrow", "ray",
)  # fmt: skip


@dataclass(slots=True)
class Manifest:
    """What a run is and what made it.

    Attributes:
        config: The resolved configuration, as plain values.
        created: Seconds since 1970.
        versions: Of Python and of the libraries that matter.
        commit: Of the working tree that ran it, "" outside one.
        platform: The operating system and processor.
        model: Identity of M0: name, source, sha256, licence, chat template or not.
        engine: What sampled: provider, version, precision, whether seeds are honoured.
        executor: Where programs ran.
        given: Of problems that came from outside: source, how many it holds, and its sha256.
        taken_from: The run whose samples this one took instead of sampling: its path, and the
            sha256 of what was taken.
        compared: Benchmarks that the run's problems were compared with: name to data source.
        version: Of this format.
    """

    config: dict[str, Any]
    created: float
    versions: dict[str, str]
    commit: str
    platform: str
    model: dict[str, Any] = field(default_factory=dict)
    engine: dict[str, Any] = field(default_factory=dict)
    executor: str = ""
    given: dict[str, Any] = field(default_factory=dict)
    taken_from: dict[str, str] = field(default_factory=dict)
    compared: dict[str, str] = field(default_factory=dict)
    version: int = MANIFEST_VERSION


class Phase(StrEnum):
    """What is happening to a run."""

    NOT_STARTED = "not_started"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    KILLED = "killed"
    """No process works on it, and the last one did not say how it ended."""
    UNKNOWN = "unknown"
    """The lock cannot be tested, or an earlier version did not note how its process ended."""


@dataclass(frozen=True, slots=True)
class State:
    """Whether a run is being worked on, and how the last process that did so ended.

    Attributes:
        phase: In a word.
        began: When the last process began, in seconds since 1970; NaN where none did.
        last_sign: When it last wrote to the journal; the same.
        error: What it failed of, "" where it did not.
    """

    phase: Phase
    began: float
    last_sign: float
    error: str


class Run:
    """One run directory.

    Open one with `Run.open` to read it, `Run.create` to start it; hold `Run.writing()` while
    adding to its tables.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self.config: RunConfig = parse_config(manifest.config)
        self.journal = Journal(path / "journal.jsonl")
        self.log = RunLog(path / "run.log")

    @classmethod
    def create(cls, path: Path, config: RunConfig) -> Run:
        """Start a run in a folder that is not there or empty.

        Raises:
            RunExists: The folder holds something.
            FileError: It cannot be made; then nothing is left of it.
        """
        check_output(path)
        with storing(path):
            path.mkdir(parents=True, exist_ok=True)
        manifest = Manifest(
            config=config.with_absolute_paths(load_catalog().models).model_dump(mode="json"),
            created=time.time(),
            versions=versions(),
            commit=commit(),
            platform=f"{platform.platform()} {platform.machine()}",
        )
        run = cls(path, manifest)
        try:
            run.save_manifest()
        except FileError:
            with suppress(OSError):
                path.rmdir()
            raise
        return run

    @classmethod
    def open(cls, path: Path) -> Run:
        """Open an existing run.

        Raises:
            NotARun: There is none, or its manifest is damaged.
            FileError: The system refuses to read the manifest.
        """
        try:
            values = json.loads((path / "manifest.json").read_text("utf-8"))
            found = values.get("version")
            if found == MANIFEST_VERSION:
                return cls(path, Manifest(**values))
        except (FileNotFoundError, NotADirectoryError):
            raise NotARun(
                f"{path} holds no manifest.json; give a folder that ucoder run made"
            ) from None
        except OSError as error:
            raise file_error(error, path / "manifest.json", "read") from error
        except (ValueError, TypeError, AttributeError) as error:
            raise NotARun(f"{path}/manifest.json cannot be read: {error}") from error
        raise NotARun(
            f"{path} has format {found!r}, and this ucoder reads format {MANIFEST_VERSION}; read "
            f"it with the version that made it (`versions` in manifest.json), or start a new run. "
            f"The Parquet tables open without ucoder"
        )

    @classmethod
    def named(cls, name: str) -> tuple[Run, int | None] | None:
        """The run that a model's name belongs to, and the model's index.

        `RUN:M1` is the model that iteration 0 of the run trained, `RUN:M0` the one before it, and
        `RUN` alone leaves the index open. None for every other name.

        Raises:
            NotARun: The folder exists, and holds no run that can be read.
        """
        folder, _, index = name.rpartition(":M")
        if folder and index.isdigit() and Path(folder).expanduser().is_dir():
            return cls.open(Path(folder).expanduser()), int(index)
        if (Path(name).expanduser() / "manifest.json").is_file():
            return cls.open(Path(name).expanduser()), None
        return None

    def weights(self, index: int | None) -> str:
        """The name or path of M(index), for `ucoder.models.resolve`; of the last where None.

        Raises:
            ModelError: The run has no such model yet.
        """
        paths = {one.iteration + 1: one.path for one in self.checkpoints.rows()}
        index = max(paths, default=0) if index is None else index
        if index == 0:
            return self.config.model
        if index not in paths:
            models = ", ".join(f"M{one}" for one in (0, *paths))
            raise ModelError(f"{self.path} has no model M{index}; it has {models}")
        return str((self.path / paths[index]).absolute())

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the one process that writes to this run.

        Raises:
            RunLocked: Another process is.
            FileError: The folder cannot be written to.
        """
        lock = FileLock(self.path / "lock")
        try:
            with storing(self.path / "lock"):
                # Not 0: `is_locked` of another process may hold the lock for an instant.
                lock.acquire(timeout=0.5, poll_interval=0.02)
        except Timeout:
            raise RunLocked(
                f"another process is writing to {self.path}; wait for it or stop it. "
                f"`{command('status', self.path)}` shows how far it is"
            ) from None
        try:
            for leftover in (self.path / "tables").rglob(TEMPORARY):
                leftover.unlink(missing_ok=True)  # of a writer that was killed
            yield
        finally:
            lock.release()

    def is_locked(self) -> bool | None:
        """Whether a process writes to this run now; None where the lock cannot be tested.

        The kernel releases the lock of a process however that ends, so a killed one never looks
        alive.
        """
        try:
            descriptor = os.open(self.path / "lock", os.O_RDONLY)
        except FileNotFoundError:
            return False
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # a file system without locks
            return None
        finally:
            os.close(descriptor)
        return False

    def state(self) -> State:
        """Whether the run is being worked on, and how the last process that did so ended."""
        is_locked, last = self.is_locked(), self.journal.last_session()
        if is_locked:
            phase = Phase.RUNNING
        elif last is None:
            phase = Phase.NOT_STARTED
        elif last.ending is not None:
            phase = Phase(last.ending)
        else:
            is_dead = is_locked is False and last.is_noted
            phase = Phase.KILLED if is_dead else Phase.UNKNOWN
        if last is None:
            return State(phase, NAN, NAN, "")
        return State(phase, last.began, last.last_sign, last.error)

    def save_manifest(self, **changes: Any) -> None:
        """Change the manifest and write it whole."""
        for name, value in changes.items():
            setattr(self.manifest, name, value)
        write_atomically(
            self.path / "manifest.json", json.dumps(asdict(self.manifest), indent=2) + "\n"
        )

    # The tables, by stage.

    @property
    def topics(self) -> Table[TopicNode]:
        """Stage 1, the topics that the model invented; key: the generation."""
        return Table(self.path / "tables" / "topics", TopicNode)

    @property
    def attempts(self) -> Table[Attempt]:
        """Stages 1-3; key: the attempt's index."""
        return Table(self.path / "tables" / "attempts", Attempt)

    @property
    def suites(self) -> Table[TestSuite]:
        """Stage 4; key: the problem."""
        return Table(self.path / "tables" / "suites", TestSuite)

    def candidates(self, iteration: int) -> Table[Candidate]:
        """Stage 5; key: the problem."""
        return Table(self._of("candidates", iteration), Candidate)

    def greedy(self, iteration: int) -> Table[Candidate]:
        """Stage 5, the greedy answer, which takes no part in the vote; key: the problem."""
        return Table(self._of("greedy", iteration), Candidate)

    def executions(self, iteration: int) -> Table[Execution]:
        """Stage 5; key: the problem."""
        return Table(self._of("executions", iteration), Execution)

    def selections(self, iteration: int) -> Table[Selection]:
        """Stage 5, written last: a problem with a selection is finished; key: the problem."""
        return Table(self._of("selections", iteration), Selection)

    def judgements(self, iteration: int) -> Table[Judgement]:
        """Stage 5 of known answers: which programs are right; key: the problem."""
        return Table(self._of("judgements", iteration), Judgement)

    def selected(self, iteration: int) -> Iterator[Candidate]:
        """Every r* of an iteration; one problem's candidates at a time are in memory."""
        candidates = self.candidates(iteration)
        for row in self.selections(iteration).columns("problem_id", "candidate_id"):
            if row["candidate_id"] is not None:
                yield from candidates.find(row["problem_id"], "id", row["candidate_id"])

    def examples(self, iteration: int) -> Table[Example]:
        """Stage 6; one shard."""
        return Table(self._of("examples", iteration), Example)

    def pair_choices(self, iteration: int) -> Table[PairChoice]:
        """Stage 6, why each selected problem is trained on or not; one shard."""
        return Table(self._of("pair_choices", iteration), PairChoice)

    def preferences(self, iteration: int) -> Table[PreferencePair]:
        """Stage 6; one shard."""
        return Table(self._of("preferences", iteration), PreferencePair)

    @property
    def checkpoints(self) -> Table[Checkpoint]:
        """Stage 6; key: the iteration."""
        return Table(self.path / "tables" / "checkpoints", Checkpoint)

    def answers(self, prompts: str, model_index: int) -> Table[Answer]:
        """Evaluation, what benchmarks that ask the same share; key: the task."""
        return Table(self.path / "tables" / "answers" / f"{prompts}-model-{model_index}", Answer)

    def scores(self, benchmark: str, model_index: int) -> Table[Score]:
        """Evaluation; key: the task."""
        return Table(self.path / "tables" / "scores" / f"{benchmark}-model-{model_index}", Score)

    @property
    def matches(self) -> Table[Match]:
        """Problems that a benchmark asks as well; one shard, there once they were compared."""
        return Table(self.path / "tables" / "matches", Match)

    def contaminated(self) -> set[str]:
        """The problems that must not be trained on, because a benchmark asks them as well.

        Empty where the configuration keeps them (`evaluation.contamination.exclude`).

        Raises:
            RunError: The problems have not been compared with benchmarks yet.
        """
        if not self.config.evaluation.contamination.exclude:
            return set()
        if not self.matches.keys():
            raise RunError(
                f"the problems of {self.path} have not been compared with benchmarks; "
                f"`{command('resume', self.path)}` does so"
            )
        return {match.problem_id for match in self.matches.rows()}

    def iterations(self) -> list[int]:
        """The iterations that have begun, as the folders of stage 5 show."""
        folders = (self.path / "tables" / "candidates").glob("iteration-*")
        return sorted(int(folder.name.removeprefix("iteration-")) for folder in folders)

    def require_iteration(self, iteration: int) -> None:
        """Check that an iteration has begun; the first one is always allowed.

        Raises:
            RunError: It has not; the message lists those that have.
        """
        begun = self.iterations()
        if iteration != 0 and iteration not in begun:
            have = ", ".join(map(str, begun)) or "none"
            raise RunError(
                f"{self.path} has no iteration {iteration}; iterations that have begun: {have}"
            )

    def answered(self) -> list[tuple[str, int]]:
        """(prompts, model index) of every answer table, in order."""
        return self._models_of("answers")

    def scored(self) -> list[tuple[str, int]]:
        """(benchmark, model index) of every score table, in order."""
        return self._models_of("scores")

    def _models_of(self, table: str) -> list[tuple[str, int]]:
        found = []
        for folder in (self.path / "tables" / table).glob("*-model-*"):
            name, _, index = folder.name.rpartition("-model-")
            found.append((name, int(index)))
        return sorted(found)

    def _of(self, table: str, iteration: int) -> Path:
        return self.path / "tables" / table / f"iteration-{iteration}"


def check_output(path: Path) -> None:
    """Refuse a folder in which no run can be started; nothing is left behind.

    Raises:
        RunExists: It holds something.
        FileError: It cannot be made, or not be written to.
    """
    with storing(path):
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            is_run = (path / "manifest.json").exists()
            hint = command("resume", path) if is_run else "name another folder"
            raise RunExists(f"{path} is not empty; {hint}")
        place = next(place for place in (path, *path.absolute().parents) if place.exists())
        with TemporaryDirectory(dir=place, prefix=".ucoder-"):
            pass


def versions() -> dict[str, str]:
    """Of Python and of the libraries that matter, those that are installed."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # an extra that is not installed has no version to keep
    return found


def commit() -> str:
    """The commit of the source tree that ucoder runs from, "" for an installed package."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
