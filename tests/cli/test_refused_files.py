"""Whatever a disk does, a command ends with a sentence, keeps what is whole, and goes on later."""

from __future__ import annotations

import errno
import os
import resource
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ucoder import load_config, run_pipeline
from ucoder.errors import DiskFull, FileError
from ucoder.files import cause_in, replacing, storing, write_atomically
from ucoder.runs import Run


def ucoder(*arguments: str | Path, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command, which may write files of up to `limit` bytes; it never ends in a traceback."""

    def limited() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        [sys.executable, "-m", "ucoder", *arguments],
        capture_output=True, text=True, preexec_fn=limited, timeout=300,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done


def is_whole(folder: Path) -> bool:
    """Whether nothing in the folder is half-written."""
    return not list(folder.rglob("*.tmp"))


def go_on(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The arguments of the command that the last line of standard error names."""
    hint = done.stderr.strip().splitlines()[-1]
    assert hint.startswith("Go on with: ucoder ")
    return shlex.split(hint.removeprefix("Go on with: ucoder "))


@contextmanager
def disk(folder: Path, options: str) -> Iterator[Path]:
    """A file system of its own, where this user may mount one."""
    folder.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this user may not mount file systems")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


SETTINGS = ("problems.n=3", "consolidation.iterations=1", "evaluation.n_tasks=1")


@pytest.mark.parametrize("size", ["4k", "60k", "220k"])
def test_a_run_on_a_full_disk_ends_and_goes_on_once_there_is_room(
    tmp_path: Path, size: str
) -> None:
    with disk(tmp_path / "disk", f"size={size}") as folder:
        done = ucoder("run", "scripted", *SETTINGS, "-o", folder / "run")
        assert done.returncode == 1
        assert "cannot be written: no space is left; free some" in done.stderr
        assert is_whole(folder)
        subprocess.run(["mount", "-o", "remount,size=20m", folder], check=True)
        again = ucoder(*go_on(done))
        assert again.returncode == 0, again.stderr


@pytest.mark.parametrize("limit", [100, 5_000, 20_000])
def test_a_limit_on_the_size_of_files_is_named(tmp_path: Path, limit: int) -> None:
    done = ucoder("run", "scripted", *SETTINGS, "-o", tmp_path / "run", limit=limit)
    assert done.returncode == 1
    assert "may not write files that large; raise the limit (`ulimit -f`)" in done.stderr
    assert is_whole(tmp_path)
    again = ucoder(*go_on(done))
    assert again.returncode == 0, again.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "run"
    assert ucoder("run", "scripted", *SETTINGS, "-o", path).returncode == 0
    return path


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_an_export_that_does_not_fit_leaves_the_earlier_one(
    run: Path, tmp_path: Path, ending: str
) -> None:
    file = tmp_path / f"data.{ending}"
    file.write_text("the earlier one")
    done = ucoder("export", run, file, "--force", limit=1000)
    assert done.returncode == 1 and f"{file} cannot be written" in done.stderr
    assert file.read_text() == "the earlier one" and list(tmp_path.iterdir()) == [file]


def test_a_read_only_run_is_read_and_says_why_nothing_is_written(run: Path, tmp_path: Path) -> None:
    with disk(tmp_path / "disk", "size=20m") as folder:
        subprocess.run(["cp", "-r", run, folder / "run"], check=True)
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        for reading in (["status"], ["show"], ["plan"]):
            assert ucoder(*reading, folder / "run").returncode == 0
        for command in (
            ["run", "scripted", "-o", folder / "new"],
            ["resume", folder / "run"],
            ["report", folder / "run"],
            ["export", folder / "run", folder / "data.jsonl"],
            ["export", folder / "run", folder / "data.parquet"],
            ["export", run, folder / "new" / "data.parquet"],
            ["study", "selection", folder / "run", "-o", folder / "study"],
        ):
            done = ucoder(*command)
            assert done.returncode == 1
            assert "cannot be written: the file system is read-only" in done.stderr
            assert str(folder) in done.stderr
            assert go_on(done) == [str(part) for part in command]


def test_output_that_cannot_be_written_is_a_sentence(run: Path) -> None:
    for command in (["status"], ["status", "--json"], ["show"], ["plan"]):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "ucoder", *command, run],
                stdout=full, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
        assert done.returncode == 1
        assert done.stderr.startswith(
            "DiskFull: standard output or a file cannot be used: no space"
        )
        assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


def test_a_place_below_a_file_is_no_folder(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for command in (
        ["run", "scripted", "-o", file / "run"],
        ["export", run, file / "data.jsonl"],
        ["export", run, file / "deep" / "data.parquet"],
    ):
        done = ucoder(*command)
        assert done.returncode == 1 and str(file) in done.stderr
        assert "name another place" in done.stderr


REFUSALS = (
    (errno.ENOSPC, "no space is left"),
    (errno.EDQUOT, "the disk quota is used up"),
    (errno.EFBIG, "may not write files that large"),
    (errno.EROFS, "the file system is read-only"),
    (errno.EACCES, "permission denied"),
    (errno.EIO, "the disk reports an error"),
)


@pytest.mark.parametrize(("number", "cause"), REFUSALS[::2])
@pytest.mark.parametrize("nth", [2, 9, 22])
async def test_a_run_whose_nth_file_is_refused_ends_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int, number: int, cause: str
) -> None:
    config = load_config("scripted", [*SETTINGS, "evaluation.benchmarks=[]"])
    run = Run.create(tmp_path / "run", config)
    calls = iter(range(1, 10_000))
    flush = os.fsync

    def refuse(descriptor: int) -> None:
        if next(calls) >= nth:
            raise OSError(number, os.strerror(number))
        flush(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse)
        with pytest.raises(FileError, match=cause) as raised:
            await run_pipeline(run)
    assert isinstance(raised.value, DiskFull) == (number in (errno.ENOSPC, errno.EDQUOT))
    assert is_whole(tmp_path)
    await run_pipeline(run)
    assert run.checkpoints.rows()


@pytest.mark.parametrize(("number", "cause"), REFUSALS)
def test_every_refusal_names_the_file_the_cause_and_what_to_do(number: int, cause: str) -> None:
    told = pytest.raises(FileError, match=rf"^data/x\.json cannot be written: .*{cause}.*; \w+")
    with told, storing(Path("data/x.json")):
        raise OSError(number, os.strerror(number))
    said = cause_in(f"RuntimeError: {os.strerror(number)} (os error {number})")
    assert number == errno.EACCES or (said is not None and said.errno == number)


def test_an_error_about_another_file_or_a_connection_is_not_this_file_s(tmp_path: Path) -> None:
    for error in (
        FileNotFoundError(errno.ENOENT, "No such file or directory", "/elsewhere/x"),
        ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
        TimeoutError(),
    ):
        with pytest.raises(type(error)), replacing(tmp_path / "x"):
            raise error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EMFILE])
def test_a_table_that_the_system_does_not_let_us_read_is_not_called_damaged(
    run: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    import pyarrow.parquet as pq

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(pq, "ParquetFile", refuse)
    with pytest.raises(FileError, match="cannot be read") as raised:
        Run.open(run).attempts.rows()
    assert "damaged" not in str(raised.value) and "move the file" not in str(raised.value)


def test_a_journal_on_a_full_disk_holds_whole_lines(tmp_path: Path) -> None:
    from ucoder.runs.journal import Journal

    with disk(tmp_path / "disk", "size=8k") as folder:
        journal = Journal(folder / "journal.jsonl")
        # What ends the session is the first refusal, not that of noting its end.
        with (
            pytest.raises(DiskFull, match=r"journal\.jsonl cannot be written: no space"),
            journal.session(),
        ):
            for at in range(200):
                journal.begin(f"stage {at}", 1)
        assert (folder / "journal.jsonl").read_text().endswith("}\n")


def test_a_run_whose_manifest_cannot_be_written_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(DiskFull):
            Run.create(tmp_path / "run", load_config("scripted"))
    assert not list(tmp_path.iterdir())
    Run.create(tmp_path / "run", load_config("scripted"))


def test_a_file_is_replaced_as_a_whole_or_stays(tmp_path: Path) -> None:
    write_atomically(tmp_path / "x", "old")
    with pytest.raises(RuntimeError), replacing(tmp_path / "x") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert (tmp_path / "x").read_text() == "old" and list(tmp_path.iterdir()) == [tmp_path / "x"]
