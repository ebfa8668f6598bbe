"""Reading benchmark files of others: every published form, and nothing else."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pytest

from ucoder.errors import BenchmarkError
from ucoder.evaluation.data import (
    Release,
    Row,
    at_hand,
    chosen,
    find_release,
    from_hub,
    make_dataset,
    read_rows,
    source_of,
    without_downloads,
)
from ucoder.evaluation.protocol import Task

ROWS: list[Row] = [{"task_id": "Tide/0", "text": "a\u2028b"}, {"task_id": "Tide/1", "text": "c"}]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
VARIABLE = "TIDE_OVERRIDE_PATH"


def make(row: Row) -> Task:
    return Task(str(row["task_id"]), str(row["text"]), "tide", row)


def release(tmp_path: Path) -> Release:
    # Nothing listens at this address: a test that downloads fails.
    url = "http://127.0.0.1:9/Tide.jsonl.gz"
    return Release("Tide+", VARIABLE, url, "0" * 64, tmp_path / "kept" / "Tide.jsonl")


@pytest.fixture(autouse=True)
def no_cache_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UCODER_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(VARIABLE, raising=False)


ZSTD = pa.compress(LINES, "zstd", asbytes=True)


@pytest.mark.parametrize(
    "content",
    [LINES, LINES + b"\n\n", gzip.compress(LINES, mtime=0), json.dumps(ROWS).encode(), ZSTD,
     pa.compress(LINES[:40], "zstd", asbytes=True) + pa.compress(LINES[40:], "zstd", asbytes=True),
     codecs.BOM_UTF8 + LINES, codecs.BOM_UTF8.join([b"", *LINES.splitlines(keepends=True)]),
     LINES.decode().encode("utf-16"), codecs.BOM_UTF8 + json.dumps(ROWS).encode()],
    ids=["lines", "blank lines", "gzip", "list", "zstandard", "two frames", "BOM", "BOM a line",
         "UTF-16", "BOM and list"],
)  # fmt: skip
def test_json_is_read_in_every_form(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tide"
    path.write_bytes(content)
    rows, sha256 = read_rows(path)
    assert rows == ROWS
    unzipped = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    unzipped = LINES if content[:4] == ZSTD[:4] else unzipped
    assert sha256 == hashlib.sha256(unzipped).hexdigest()


def test_parquet_is_read(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "tide.parquet")
    assert read_rows(tmp_path / "tide.parquet")[0] == ROWS


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        b"no json",
        b'{"a": 1}\n{"a":',
        b"[1, 2]",
        b"[]",
        b"\xff\xfe",
        gzip.compress(LINES, mtime=0)[:-12],
        b"\x1f\x8bno",
        b"[" * 100_000,
        b"PAR1 and then nothing",
        ZSTD[:-12],
    ],
    ids=["empty", "blank", "text", "torn", "numbers", "none", "binary", "torn gzip", "no gzip",
         "deep", "no parquet", "torn zstandard"],
)  # fmt: skip
def test_a_file_in_another_format_is_refused_with_its_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tide.jsonl"
    path.write_bytes(content)
    with pytest.raises(BenchmarkError, match=r"tide\.jsonl"):
        read_rows(path)


def test_a_damaged_row_of_a_benchmark_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "tide.jsonl"
    for damaged in (b'{"task_id": ', b"3", b'{"task_id": "\xff"}'):
        path.write_bytes(LINES + b"\n" + damaged + b"\n" + LINES)
        with pytest.raises(BenchmarkError, match=r"tide\.jsonl, line 4: "):
            read_rows(path)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="nowhere"):
        read_rows(tmp_path / "nowhere")


def test_tasks_keep_their_order_and_the_source(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, ROWS, "ab", "Tide 1.0", make)
    assert [task.id for task in dataset.tasks] == ["Tide/0", "Tide/1"]
    assert (dataset.source, dataset.sha256) == ("Tide 1.0", "ab")


def test_a_row_in_another_format_is_refused_with_file_and_place(tmp_path: Path) -> None:
    rows = [*ROWS, {"task_id": "Tide/2"}]
    with pytest.raises(BenchmarkError, match=r"tide\.jsonl, task 3: .*Tide 1\.0.*'text'"):
        make_dataset(tmp_path / "tide.jsonl", rows, "", "Tide 1.0", make)


def test_two_tasks_of_one_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="task 3: Tide/0 is there twice"):
        make_dataset(tmp_path, [*ROWS, ROWS[0]], "", "Tide 1.0", make)


def test_a_file_is_chosen_by_argument_before_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chosen(None, VARIABLE) is None
    one, other = tmp_path / "one", tmp_path / "other"
    one.touch()
    other.touch()
    monkeypatch.setenv(VARIABLE, str(other))
    assert chosen(None, VARIABLE) == other
    assert chosen(one, VARIABLE) == one


def test_a_missing_file_is_refused_with_the_option_that_named_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BenchmarkError, match="nowhere is not a file"):
        chosen(tmp_path / "nowhere", VARIABLE)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(BenchmarkError, match=f"{VARIABLE} names"):
        at_hand(release(tmp_path), None)


def test_a_copy_that_the_publishers_tool_keeps_needs_no_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = release(tmp_path)
    assert at_hand(wanted, None) is None
    assert wanted.kept_by_others is not None
    wanted.kept_by_others.parent.mkdir()
    wanted.kept_by_others.write_bytes(LINES)
    assert find_release(wanted, None) == wanted.kept_by_others
    own = tmp_path / "own"
    own.touch()
    monkeypatch.setenv(VARIABLE, str(own))
    assert find_release(wanted, None) == own


def test_a_failed_download_says_how_to_name_a_copy(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=rf"{VARIABLE} or with --data"):
        find_release(release(tmp_path), None)
    assert not (tmp_path / "cache").exists()


def test_a_file_is_named_by_its_content() -> None:
    assert source_of("ab", {"ab": "Tide 1.0"}, "Tide") == "Tide 1.0"
    assert "unknown version (sha256 cd)" in source_of("cd", {"ab": "Tide 1.0"}, "Tide")


def test_listing_downloads_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UCODER_CACHE", str(tmp_path))
    release = Release("Title", "NO_SUCH_OVERRIDE_PATH", "http://127.0.0.1:1/x.gz", "0" * 64)
    with without_downloads(), pytest.raises(BenchmarkError, match="not here; downloaded"):
        find_release(release, None)
    with pytest.raises(BenchmarkError, match="NO_SUCH_OVERRIDE_PATH"):
        find_release(release, None)
    with without_downloads(), pytest.raises(BenchmarkError, match="not here; downloaded"):
        from_hub("no-such-owner/no-such-data", "x.parquet")
