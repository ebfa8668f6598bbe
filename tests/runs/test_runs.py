"""The run directory: whole or absent, locked, readable by others, honest about damage."""

from __future__ import annotations

import dataclasses
import errno
import json
import multiprocessing
import os
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from ucoder import records
from ucoder.config import RunConfig
from ucoder.errors import DamagedShard, DiskFull, NotARun, RunExists, RunLocked
from ucoder.evaluation.contamination import Match
from ucoder.evaluation.records import Answer, Score
from ucoder.progress import Silent, Tee
from ucoder.records import (
    Attempt,
    Count,
    InputOrigin,
    Interface,
    Parameter,
    Prediction,
    Problem,
    Reason,
    TestInput,
    TestSuite,
)
from ucoder.runs import Run, Table
from ucoder.runs.journal import StageTime
from ucoder.runs.schema import schema_of
from ucoder.runs.tables import Shard

PROBLEM = Problem(
    "id", "area", "topic", "Title", "What.", "Title: Title", "", 8.0, "fine",
    Interface("f", (Parameter("x", "int"), Parameter("y", "str", True)), "int", "def f(): ..."),
)  # fmt: skip
ATTEMPT = Attempt(3, 7, "area", "topic", PROBLEM, None, "", "text", "", "", 1, 2, 3)
REJECTED = dataclasses.replace(ATTEMPT, problem=None, reason=Reason.DUPLICATE)
SUITE = TestSuite(
    "id",
    (
        TestInput("(1,)", InputOrigin.MODEL, (Prediction("2", 1),)),
        TestInput("(2,)", InputOrigin.MUTATION),
    ),
    (Count(Reason.NOT_LITERAL, 2),),
    None,
    5,
)


def new_run(path: Path) -> Run:
    return Run.create(path / "run", RunConfig())


@pytest.mark.parametrize("row", [ATTEMPT, REJECTED, SUITE])
def test_records_come_back_as_they_were(tmp_path: Path, row: object) -> None:
    table: Table[object] = Table(tmp_path / "t", type(row))
    table.put("key", [row])
    assert table.rows() == table.get("key") == [row]


def test_every_record_has_a_schema() -> None:
    of_stages = [
        getattr(records, name)
        for name in ("Attempt", "TestSuite", "Candidate", "Execution", "Selection", "Example",
                     "Checkpoint")
    ]  # fmt: skip
    for record in (*of_stages, Answer, Score, Match):
        assert schema_of(record).names == [f.name for f in dataclasses.fields(record)]


def test_lone_surrogates_are_stored_escaped(tmp_path: Path) -> None:
    table = Table(tmp_path / "t", Attempt)
    table.put("key", [dataclasses.replace(REJECTED, problem_text="a\ud800b")])
    assert table.rows()[0].problem_text == "a\\ud800b"


def test_doing_a_unit_again_overwrites_instead_of_doubling(tmp_path: Path) -> None:
    table = Table(tmp_path / "t", Attempt)
    table.put("a", [ATTEMPT])
    table.put("a", [REJECTED])
    assert table.rows() == [REJECTED]
    assert table.keys() == {"a"}


@pytest.mark.parametrize("key", ["../escape", "a/b", "", "a b", "\x00"])
def test_keys_are_plain_names(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="not a plain name"):
        Table(tmp_path / "t", Attempt).put(key, [ATTEMPT])


def test_tables_open_with_duckdb_as_they_are(tmp_path: Path) -> None:
    import duckdb

    run = new_run(tmp_path)
    run.attempts.put("000000", [ATTEMPT])
    run.attempts.put("000001", [REJECTED])
    found = duckdb.sql(
        f"SELECT reason, problem.interface.name FROM '{run.path}/tables/attempts/*.parquet' "
        "ORDER BY reason NULLS FIRST"
    ).fetchall()
    assert found == [(None, "f"), ("duplicate", None)]


def test_a_damaged_shard_is_named_and_the_rest_still_reads(tmp_path: Path) -> None:
    table = Table(tmp_path / "t", Attempt)
    table.put("good", [ATTEMPT])
    (tmp_path / "t" / "bad.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DamagedShard, match=r"bad\.parquet cannot be read.*move the file away"):
        table.rows()
    assert table.get("good") == [ATTEMPT]


def test_a_shard_of_another_shape_is_damage_too(tmp_path: Path) -> None:
    Table(tmp_path / "t", TestSuite).put("key", [SUITE])
    with pytest.raises(DamagedShard):
        Table(tmp_path / "t", Attempt).rows()


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(tmp_path / "t", Attempt)
    table.put("a", [ATTEMPT])

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match="no space is left; free some"):
        table.put("a", [REJECTED])
    assert table.rows() == [ATTEMPT]
    assert [p.name for p in (tmp_path / "t").iterdir()] == ["a.parquet"]


def test_a_run_is_not_started_over_another(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    with pytest.raises(RunExists, match="ucoder resume"):
        Run.create(run.path, RunConfig())
    assert Run.open(run.path).config == RunConfig()


def test_what_is_no_run_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(NotARun, match=r"holds no manifest\.json"):
        Run.open(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(NotARun, match="cannot be read"):
        Run.open(tmp_path)


def _hold(path: Path, ready: Event, stop: Event) -> None:
    with Run.open(path).writing():
        ready.set()
        stop.wait(30)


def test_a_second_writer_is_refused_and_readers_are_not(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    context = multiprocessing.get_context("spawn")
    ready, stop = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(run.path, ready, stop))
    other.start()
    try:
        assert ready.wait(30)
        with pytest.raises(RunLocked, match="another process is writing"), run.writing():
            pass
        assert Run.open(run.path).attempts.rows() == []
    finally:
        stop.set()
        other.join(30)
    with run.writing():
        pass


def test_leftovers_of_a_killed_writer_are_swept(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    run.attempts.put("000000", [ATTEMPT])
    leftover = run.path / "tables" / "attempts" / ".000001.parquet.99.tmp"
    leftover.write_bytes(b"half")
    with run.writing():
        assert not leftover.exists()
    assert run.attempts.rows() == [ATTEMPT]


def test_journal_adds_up_sessions_and_skips_a_torn_line(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    with pytest.raises(OSError), run.journal.session():
        run.journal.begin("solutions 0", 2)
        run.journal.advance("solutions 0", 2)
        run.journal.end("solutions 0")
        run.journal.begin("solutions 1", 2)
        raise OSError("the session ends")
    with run.journal._path.open("a") as file:
        file.write('{"at": 17')
    times = {(t.stage, t.iteration): t.finished for t in run.journal.times()}
    assert times == {("solutions", 0): True, ("solutions", 1): False}


def test_journal_counts_each_session_of_a_stage_and_not_the_time_between(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    lines = [
        ("a", "begin", 10.0), ("a", "beat", 12.0),  # killed after its last heartbeat
        ("b", "begin", 100.0), ("b", "end", 103.0),
    ]  # fmt: skip
    run.journal._path.write_text(
        "".join(
            json.dumps({"at": at, "session": session, "event": event, "stage": "problems",
                        "iteration": 0}) + "\n"
            for session, event, at in lines
        )
    )  # fmt: skip
    assert run.journal.times() == [StageTime("problems", 0, 5.0, True)]


def test_a_stage_that_learns_its_total_later_is_one_stage(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    for total in (1, 30):
        run.journal.begin("consolidation 0", total)
    run.journal.end("consolidation 0")
    events = [json.loads(line)["event"] for line in run.journal._path.read_text().splitlines()]
    assert events == ["begin", "end"]


def test_every_sink_is_told_every_event_of_an_evaluation(tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []

    class Told(Silent):
        def advance(self, stage: str, done: int, **facts: object) -> None:
            told.append((stage, done))

    run = new_run(tmp_path)
    progress = Tee(run.journal, Told())
    progress.begin("humaneval M1", 2)
    progress.advance("humaneval M1", 1)
    progress.advance("humaneval M1", 2)
    progress.end("humaneval M1")
    assert told == [("humaneval M1", 1), ("humaneval M1", 2)]
    (time,) = run.journal.times()
    assert (time.stage, time.iteration, time.finished) == ("humaneval M1", 1, True)


def test_a_run_of_an_older_format_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = new_run(tmp_path).path / "manifest.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "version": 1}))
    with pytest.raises(NotARun, match=r"has format 1, and this ucoder reads format 4; read it"):
        Run.open(path.parent)


def test_rows_that_another_machine_encoded_are_stored_as_they_are(tmp_path: Path) -> None:
    table = Table(tmp_path / "t", Attempt)
    table.put("000003", Shard.of(Attempt, [ATTEMPT]))
    assert table.rows() == [ATTEMPT]
