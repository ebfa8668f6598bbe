"""Whether a run is running, and how it ended: told by the lock and by what each process noted."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ucoder.config import RunConfig
from ucoder.errors import EngineError, NothingToDo, RunError
from ucoder.runs import Run
from ucoder.runs.directory import Phase

WRITER = """
import sys
from pathlib import Path
from ucoder.runs import Run

run = Run.open(Path(sys.argv[1]))
with run.writing(), run.journal.session(), run.log.session():
    run.journal.begin("solutions 0", 3)
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "run", RunConfig())


def writer(run: Run) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(run.path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def test_a_new_run_has_not_started(run: Run) -> None:
    state = run.state()
    assert (state.phase, state.error) == (Phase.NOT_STARTED, "")
    assert math.isnan(state.began) and math.isnan(state.last_sign)


def test_a_run_whose_process_works_is_running_and_one_that_came_to_its_end_is_finished(
    run: Run,
) -> None:
    process = writer(run)
    assert run.state().phase is Phase.RUNNING
    process.communicate("")
    assert run.state().phase is Phase.FINISHED


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_process_that_was_killed_is_not_taken_for_a_running_one(
    run: Run, how: signal.Signals
) -> None:
    process = writer(run)
    process.send_signal(how)
    process.communicate()
    assert run.state().phase is Phase.KILLED
    with run.writing(), run.journal.session():
        assert run.state().phase is Phase.RUNNING
    assert run.state().phase is Phase.FINISHED


@pytest.mark.parametrize(
    "error", [EngineError("the server is gone"), NothingToDo("nothing\nselected"), OSError(28, "x")]
)
def test_the_error_that_ended_a_run_is_kept_and_its_traceback_logged(
    run: Run, error: Exception
) -> None:
    with pytest.raises(type(error)), run.journal.session(), run.log.session():
        raise error
    state = run.state()
    assert (state.phase, state.error) == (Phase.FAILED, f"{type(error).__name__}: {error}")
    log = run.log.path.read_text()
    assert "Traceback" in log and str(error) in log


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, asyncio.CancelledError, SystemExit])
def test_an_interrupted_run_is_no_failed_one(run: Run, interrupt: type[BaseException]) -> None:
    with pytest.raises(interrupt), run.journal.session(), run.log.session():
        run.journal.begin("solutions 0", 3)
        raise interrupt
    assert run.state().phase is Phase.INTERRUPTED
    assert "interrupted" in run.log.path.read_text()
    assert [time.finished for time in run.journal.times()] == [False]


def test_asking_for_the_state_does_not_stop_a_writer_from_starting(run: Run) -> None:
    for _ in range(50):
        with run.writing():
            assert run.is_locked() is True
        assert run.is_locked() is False


def test_a_journal_of_an_earlier_version_does_not_say_how_it_ended(run: Run) -> None:
    entry = {"at": 10.0, "session": "s", "event": "end", "stage": "problems", "iteration": 0}
    (run.path / "journal.jsonl").write_text(json.dumps(entry) + "\n")
    assert run.state().phase is Phase.UNKNOWN


def test_the_log_holds_stages_messages_and_warnings(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    with run.log.session():
        run.log.begin("solutions 0", 3)
        run.log.message("a lone surrogate \udc80")
        logging.getLogger("ucoder.engines").warning("a request was %s", "retried")
        run.log.end("solutions 0")
    log = run.log.path.read_text()
    for said in ("solutions 0: 0 of 3", r"\udc80", "warning: a request was retried", "finished"):
        assert said in log
    logging.getLogger("ucoder.engines").warning("after the run")
    assert "after the run" not in run.log.path.read_text()


def test_a_log_that_cannot_be_written_ends_nothing(run: Run) -> None:
    run.log.path.mkdir()
    with run.log.session():
        run.log.message("lost")
    assert run.log.path.is_dir() and not any(run.log.path.iterdir())


def test_an_iteration_that_has_not_begun_is_named_with_those_that_have(run: Run) -> None:
    run.require_iteration(0)
    with pytest.raises(RunError, match="no iteration 3; iterations that have begun: none"):
        run.require_iteration(3)
